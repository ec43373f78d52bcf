// Every record and every Secret as they are, in pages, with nothing done with them: what no client that reads them all is faster than.
import { Agent, get } from 'node:https';
import { RECORDS } from '../../support/serving-stage.ts';
import type { Stage } from './stage.ts';

const PAGE = 500;
/** The token to continue with stands before the items or behind them, as the kind has it. */
const ENDS = 4096;

export interface RawList {
  mib: number;
  ms: number;
}

export async function rawList(stage: Stage): Promise<RawList> {
  const began = performance.now();
  const bytes = await Promise.all([RECORDS, '/api/v1/secrets'].map((path) => readPages(stage, path)));
  return { mib: bytes.reduce((sum, each) => sum + each, 0) / 2 ** 20, ms: performance.now() - began };
}

async function readPages({ plane }: Stage, path: string): Promise<number> {
  const agent = new Agent({ keepAlive: true, ca: plane.ca, ...plane.admin });
  let [bytes, token] = [0, ''];
  do {
    const from = token === '' ? '' : `&continue=${encodeURIComponent(token)}`;
    const body = await read(agent, new URL(`${path}?limit=${PAGE}${from}`, plane.url));
    bytes += body.length;
    const ends = body.toString('latin1', 0, ENDS) + body.toString('latin1', Math.max(ENDS, body.length - ENDS));
    token = /"continue":"([^"]*)"/.exec(ends)?.[1] ?? '';
  } while (token !== '');
  agent.destroy();
  return bytes;
}

function read(agent: Agent, url: URL): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const outgoing = get(url, { agent }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => void chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => resolve(Buffer.concat(chunks)));
    });
    outgoing.on('error', reject);
  });
}
