// Whether EJBCA would sign for the issuer, found out without signing: the access rules of our client certificate, then the CAs and profiles
// that it may use. What is missing is named.
import type { EjbcaBackendSpec } from '../../api/ejbca-backend.ts';
import { RemoteFault } from '../https/remote-fault.ts';
import { caNames } from './end-entity.ts';
import type { EjbcaService, NameAndID } from './service.ts';

/** For signing, resumption after a crash, and revocation. */
const GENERAL_RULES = [
  '/administrator',
  '/ca_functionality/create_certificate',
  '/ra_functionality/create_end_entity',
  '/ra_functionality/edit_end_entity',
  '/ra_functionality/view_end_entity',
  '/ra_functionality/revoke_end_entity',
] as const;
const PROFILE_RULES = ['create_end_entity', 'edit_end_entity', 'view_end_entity', 'revoke_end_entity'] as const;

/** Throws RemoteFault for what is missing, and as the service does. */
export async function requireReady(service: EjbcaService, spec: EjbcaBackendSpec, signal: AbortSignal): Promise<void> {
  // Without it nothing else can be asked.
  await requireRules(service, [['/administrator']], signal);
  const cas = await service.getAvailableCAs(signal);
  const profiles = await service.getAuthorizedEndEntityProfiles(signal);
  const found = caNames(spec).map((name) => require(cas, name, ['CAMissing', 'CA']));
  const profile = require(profiles, spec.endEntityProfile, ['ProfileMissing', 'end entity profile']);
  const certificateProfiles = await service.getAvailableCertificateProfiles(profile.id, signal);
  require(certificateProfiles, spec.certificateProfile, [
    'ProfileMissing',
    'certificate profile',
  ], ` in the end entity profile ${spec.endEntityProfile}`);
  const offered = await service.getAvailableCAsInProfile(profile.id, signal);
  for (const { name } of found)
    require(offered, name, ['CAMissing', 'CA'], ` in the end entity profile ${spec.endEntityProfile}`);
  await requireRules(service, rulesOf(found, profile), signal);
}

function require(
  list: readonly NameAndID[],
  wanted: string,
  [reason, what]: readonly [string, string],
  where = ' that our client certificate may use',
): NameAndID {
  const found = list.find(({ name }) => name === wanted);
  if (!found) throw new RemoteFault(reason, `EJBCA has no ${what} ${wanted}${where}`);
  return found;
}

/** Each rule by the name people see, then as EJBCA keeps it, by number. */
function rulesOf(cas: readonly NameAndID[], profile: NameAndID): string[][] {
  const ofProfile = (last: string) =>
    [profile.name, profile.id].map((which) => `/endentityprofilesrules/${which}/${last}`);
  return [
    ...GENERAL_RULES.map((rule) => [rule]),
    ...cas.map(({ name, id }) => [`/ca/${name}`, `/ca/${id}`]),
    ...PROFILE_RULES.map(ofProfile),
  ];
}

async function requireRules(
  service: EjbcaService,
  rules: readonly (readonly string[])[],
  signal: AbortSignal,
): Promise<void> {
  const missing: string[] = [];
  for (const spellings of rules) {
    if (!(await isGranted(service, spellings, signal))) missing.push(spellings[0] ?? '');
  }
  if (missing.length === 0) return;
  throw new RemoteFault('AccessRuleMissing', `EJBCA does not grant our client certificate ${missing.join(', ')}`);
}

async function isGranted(service: EjbcaService, spellings: readonly string[], signal: AbortSignal): Promise<boolean> {
  // EJBCA knows these rules by number; the name is asked for where that is not granted.
  for (const rule of spellings.toReversed()) if (await service.isAuthorized(rule, signal)) return true;
  return false;
}
