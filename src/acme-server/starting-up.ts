// What a client is told that comes before the server knows what there is: the directory and nonces apart, nothing can be said yet.
import { Problem } from '../domain/problem.ts';

export function startingUp(): Problem {
  return new Problem('serverInternal', 'the server has just been started: try again in a moment', {
    status: 503,
    headers: { 'Retry-After': '2' },
  });
}
