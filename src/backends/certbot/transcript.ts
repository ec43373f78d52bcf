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
  const said: string[] = [];
  const told: Told = { answers: new Set(), chain: undefined, exit: undefined, problem: undefined };
  let open: string[] | undefined;
  for (const line of log
    .split('\n')
    .slice(0, -1)
    .map((each) => each.replace(CARRIAGE_RETURN, ''))) {
    if (!line.startsWith(`${marker} `)) {
      (open ?? said).push(line);
      continue;
    }
    const [word = '', value = ''] = line.slice(marker.length + 1).split(' ');
    if (word === Word.end) told.chain ??= open?.join('\n');
    if (word === Word.chain || word === Word.end) open = word === Word.chain ? [] : undefined;
    else take(told, word, value);
  }
  return { ...told, answers: [...told.answers].sort(), said };
}

type Told = Omit<Transcript, 'answers' | 'said'> & { answers: Set<string> };

function take(told: Told, word: string, value: string): void {
  if (word === Word.answer && KEY_AUTHORIZATION.test(value) && told.answers.size < MAX_ANSWERS) told.answers.add(value);
  if (word === Word.problem && /^[A-Za-z]{1,40}$/.test(value)) told.problem = value;
  if (word === Word.exit) told.exit ??= exitOf(value);
}

function exitOf(value: string): Transcript['exit'] {
  if (value === 'timeout') return value;
  return /^-?[0-9]{1,3}$/.test(value) ? Number(value) : undefined;
}
