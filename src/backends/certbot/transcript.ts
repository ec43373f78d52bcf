// What the program that runs certbot has said so far (program.ts), told apart from what certbot said.
import { Word } from './program.ts';

export interface Transcript {
  /** Key authorizations that are to be laid out. */
  answers: readonly string[];
  /** PEM; only as a whole. */
  chain: string | undefined;
  /** Undefined while certbot runs, and where its end was not told. */
  exit: number | 'timeout' | undefined;
  /** Type of a problem of ACME. */
  problem: string | undefined;
  /** Lines of certbot. */
  said: readonly string[];
}

/** RFC 8555 section 8.1, with a token that any CA may use. */
const KEY_AUTHORIZATION = /^[A-Za-z0-9_-]{1,128}\.[A-Za-z0-9_-]{43}$/;
/** A certificate holds a hundred names. */
const MAX_ANSWERS = 128;
/** What is written before a line by runtimes that tell no more than the line. */
const CARRIAGE_RETURN = /\r$/;

/** A line that is cut, as the last one may be, says nothing. */
export function readTranscript(log: string, marker: string): Transcript {
  const answers = new Set<string>();
  const said: string[] = [];
  let exit: Transcript['exit'];
  let problem: string | undefined;
  let open: string[] | undefined;
  let chain: string | undefined;
  const lines = log.split('\n');
  for (const line of lines.slice(0, -1).map((each) => each.replace(CARRIAGE_RETURN, ''))) {
    if (!line.startsWith(`${marker} `)) {
      (open ?? said).push(line);
      continue;
    }
    const [word = '', value = ''] = line.slice(marker.length + 1).split(' ');
    if (word === Word.answer && KEY_AUTHORIZATION.test(value) && answers.size < MAX_ANSWERS) answers.add(value);
    if (word === Word.chain) open = [];
    if (word === Word.end) {
      chain ??= open?.join('\n');
      open = undefined;
    }
    if (word === Word.problem && /^[A-Za-z]{1,40}$/.test(value)) problem = value;
    if (word === Word.exit) exit ??= exitOf(value);
  }
  return { answers: [...answers].sort(), chain, exit, problem, said };
}

function exitOf(value: string): Transcript['exit'] {
  if (value === 'timeout') return value;
  return /^-?[0-9]{1,3}$/.test(value) ? Number(value) : undefined;
}
