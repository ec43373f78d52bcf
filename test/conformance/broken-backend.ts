// Takes the Secret of the issuer `broken` away while the program runs, and gives it back.
import { finalize, newOrder, type Order, readyOrder } from '../support/acme-flow.ts';
import type { AcmeWire, Reply } from '../support/acme-wire.ts';
import { buildCsr } from '../support/csr-builder.ts';
import { eventually } from '../support/eventually.ts';
import { freshName } from '../support/names.ts';
import type { Target } from './target.ts';

const FILE = 'broken.yaml';

export interface NotFinalized {
  order: Order;
  csr: Buffer;
  /** The first answer to finalize that was no certificate. */
  reply: Reply;
}

/** Finalizes ready orders until the loss shows. */
export async function loseBackend(t: Target, acme: AcmeWire): Promise<NotFinalized> {
  const name = freshName();
  const csr = buildCsr({ names: [name] }).der;
  let order = await readyOrder(acme, t, [name]);
  await t.edit(FILE, (text) => text.replace('name: broken-ca', 'name: missing-ca').replace(/^ +selfSigned:.*\n/m, ''));
  return eventually('finalize fails without the Secret of the CA', async () => {
    const reply = await finalize(acme, order, csr);
    if (reply.status !== 200 || reply.json.status !== 'valid') return { order, csr, reply };
    order = await newOrder(acme, [name]);
    return undefined;
  });
}

export async function restoreBackend(t: Target): Promise<void> {
  await t.edit(FILE, (text) => text.replace('name: missing-ca', 'name: broken-ca'));
}
