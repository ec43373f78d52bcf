// One of each resource, made once per test file for tests that go through all of them.
import { register, type Responders, readyOrder, complete, expectStatus } from '../support/acme-flow.ts';
import type { AcmeWire } from '../support/acme-wire.ts';
import { freshName } from '../support/names.ts';
import type { Target } from './target.ts';

export interface Resources {
  acme: AcmeWire;
  /** Every URL that is POSTed to, by name. */
  urls: Readonly<Record<string, string>>;
  /** Those of them that POST-as-GET reads. */
  readable: readonly string[];
}

const made = new WeakMap<Target, Promise<Resources>>();

export function resources(target: Target): Promise<Resources> {
  const known = made.get(target) ?? make(target);
  made.set(target, known);
  return known;
}

async function make(target: Target & Responders): Promise<Resources> {
  const acme = await target.connect();
  const account = (await register(acme)).json;
  const order = await readyOrder(acme, target, [freshName()]);
  const { certificateUrl } = await complete(acme, order);
  const [authorization = ''] = order.object.authorizations;
  const reply = expectStatus(await acme.get(authorization), 200, 'authorization');
  const { newAccount, newOrder, revokeCert, keyChange } = acme.directory;
  const readable = {
    account: acme.account.url,
    orders: String(account.orders),
    order: order.url,
    authorization,
    challenge: reply.json.challenges[0]?.url ?? '',
    certificate: certificateUrl,
  };
  return {
    acme,
    urls: { newAccount, newOrder, revokeCert, keyChange, finalize: order.object.finalize, ...readable },
    readable: Object.values(readable),
  };
}
