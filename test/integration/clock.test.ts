// Two replicas of `serve`, the clock of one of them wrong, on a real API server: no early renewal, no good nonce refused.
// CLOCK_TESTS=all: also an hour ahead.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { complete, issue, newOrder, readyOrder, register } from '../support/acme-flow.ts';
import { eventually } from '../support/eventually.ts';
import { clockOffBy, missingFaketime } from '../support/faketime.ts';
import { describeOnStage, GROUP, secretsOf, startReplicas } from '../support/serving-stage.ts';

const CLAIMS = `${GROUP}/namespaces/default/certificateclaims`;
const OFFSETS = process.env.CLOCK_TESTS === 'all' ? ['+1h', '-1h', '+400d'] : ['-1h', '+400d'];
const NAMES = ['one', 'two', 'three'];
/** How long the leader whose clock is wrong has for what it must not do. */
const LEADING_MS = 5_000;
const HALF_AN_HOUR = 1_800_000;

interface Secret {
  metadata: { resourceVersion: string };
  data: Record<string, string>;
}

describeOnStage('a replica whose clock is wrong', 2, (stage) => {
  if (missingFaketime !== undefined) {
    const missing = missingFaketime;
    test.skipIf(process.env['COUNTERSIGN_REQUIRE'] !== 'all')(missing, () => {
      throw new Error(missing);
    });
    return;
  }

  const leafOf = (secret: Secret) => new X509Certificate(Buffer.from(secret.data['tls.crt'] ?? '', 'base64'));
  const secrets = () =>
    Promise.all(NAMES.map((name) => stage().plane.api.expect<Secret>('GET', `${secretsOf('default')}/${name}-tls`)));

  test('with a right clock, claims have their certificates', async () => {
    const { api } = stage().plane;
    const replicas = await startReplicas(stage());
    try {
      for (const name of NAMES)
        await api.expect('POST', CLAIMS, {
          apiVersion: 'countersign.dev/v1alpha1',
          kind: 'CertificateClaim',
          metadata: { name },
          spec: {
            secretName: `${name}-tls`,
            issuerRef: { kind: 'ClusterCAIssuer', name: 'main' },
            dnsNames: [`${name}.test`],
          },
        });
      for (const name of NAMES)
        await eventually('each has its Secret', async () => {
          const { status } = await api.request('GET', `${secretsOf('default')}/${name}-tls`);
          return status === 200 ? true : undefined;
        });
    } finally {
      await replicas.stop();
    }
  });

  test.each(OFFSETS)(
    'by %s',
    async (offset) => {
      const shown = execFileSync(process.execPath, ['-p', 'Date.now()'], {
        env: { ...process.env, ...clockOffBy(offset) },
      });
      expect(Math.abs(Number(shown) - Date.now())).toBeGreaterThan(3_500_000);
      const replicas = await startReplicas(stage(), { env: (i) => (i === 0 ? clockOffBy(offset) : {}) });
      try {
        const [wrong, right] = replicas.programs;
        if (!wrong || !right) throw new Error('two replicas');
        expect(readFileSync(`/proc/${wrong.pid}/maps`, 'utf8')).toContain('libfaketime');
        const [a, b] = [await replicas.client(0), await replicas.client(1)];
        await register(a);
        b.account = a.account;
        const name = `clock-${offset.replace('+', 'plus').replace('-', 'minus')}.test`;
        stage().place(name);
        const { certificateUrl } = await issue(a, stage().responders, [name]);
        const leaf = new X509Certificate((await a.get(certificateUrl)).text);
        expect(Math.abs(leaf.validFromDate.getTime() - Date.now())).toBeLessThan(HALF_AN_HOUR);

        for (let round = 0; round < 20; round++) {
          const [from, to] = round % 2 === 0 ? [a, b] : [b, a];
          const nonce = await from.nonce();
          expect((await to.get(a.account.url, { nonce })).status).toBe(200);
          expect((await from.get(a.account.url, { nonce })).status).toBe(400);
        }
        const [first, second] = [`ab-${name}`, `ba-${name}`];
        for (const each of [first, second]) stage().place(each);
        await complete(b, await readyOrder(a, stage().responders, [first]));
        await complete(a, await readyOrder(b, stage().responders, [second]));
        expect((await newOrder(b, [first])).object.status).toBe('ready');

        const before = await secrets();
        await right.stop();
        await eventually('the one with the wrong clock leads', async () =>
          wrong.output().includes('"leading"') ? true : undefined,
        );
        await sleep(LEADING_MS);
        expect(await secrets()).toEqual(before);
        const records = (await stage().records()).flatMap(({ spec }) => spec.names);
        expect(records.filter((each) => NAMES.some((claim) => each === `dns:${claim}.test`)).toSorted()).toEqual(
          NAMES.map((claim) => `dns:${claim}.test`).toSorted(),
        );
        for (const secret of before) expect(leafOf(secret).validToDate.getTime()).toBeGreaterThan(Date.now());
        process.stdout.write(`${offset}: leaf from ${leaf.validFrom}, the machine says ${new Date().toISOString()}\n`);
      } finally {
        await replicas.stop();
      }
    },
    300_000,
  );
});
