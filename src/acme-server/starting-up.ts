// What a client is told that comes before the server knows what there is: the directory and nonces apart, nothing can be said yet.
import { comeBack, type Problem } from '../domain/problem.ts';

export function startingUp(): Problem {
  return comeBack('the server has just been started: try again in a moment', 2);
}
