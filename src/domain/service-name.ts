// Names that the DNS of a cluster gives to its Services.

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * The Service that a DNS name (lower case, without trailing dot and wildcard label) belongs to: SERVICE.NAMESPACE.svc, with or without the
 * domain of the cluster, or one label below, where Pods of a headless Service have their names. Undefined for any other name.
 */
export function serviceOfName(
  name: string,
  clusterDomain: string,
): { service: string; namespace: string; below: boolean } | undefined {
  const suffix = `.svc.${clusterDomain}`;
  const base = name.endsWith(suffix) ? name.slice(0, -suffix.length) : cut(name, '.svc');
  const labels = base?.split('.') ?? [];
  if (labels.length < 2 || labels.length > 3 || !labels.every((label) => LABEL.test(label))) return undefined;
  const [service = '', namespace = ''] = labels.slice(-2);
  return { service, namespace, below: labels.length === 3 };
}

function cut(name: string, suffix: string): string | undefined {
  return name.endsWith(suffix) ? name.slice(0, -suffix.length) : undefined;
}
