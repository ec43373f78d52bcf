// An ACME order survives the death of the program at every call it makes.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startDnsServer } from '../support/dns-server.ts';
import { startHttp01Responder } from '../support/http01-responder.ts';
import { freshName } from '../support/names.ts';
import { createClient } from './client.ts';
import type { Kill } from './meter.ts';
import { expectOneOrder, readWorld } from './oracle.ts';
import { type Program, startProgram } from './program.ts';
import { forEveryCall, type Outcome } from './series.ts';

test('trace', { timeout: 600_000 }, async () => {
  const dns = await startDnsServer();
  const http01 = await startHttp01Responder();
  const program = await startProgram({ http01Port: http01.port, nameserver: dns.address });
  await program.arm(undefined);
  const client = await createClient(program, { dns, http01 });
  const got = await client.obtain([freshName()]);
  await program.settle();
  console.log(program.calls().map((c, i) => `${i + 1} ${c}`).join('\n'));
  expectOneOrder(readWorld(program.data), got);
  await program.stop();
});
