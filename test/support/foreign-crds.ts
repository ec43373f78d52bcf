// CustomResourceDefinitions of others, as far as tests need them: kinds and names as they are, any content.
import { APPLY_PATCH } from './api-client.ts';
import type { ControlPlane } from './control-plane.ts';
import { eventually } from './eventually.ts';

interface ForeignKind {
  group: string;
  version: string;
  kind: string;
  plural: string;
  singular: string;
  namespaced: boolean;
}

/** Resolves once all of them are served. */
export async function installForeign({ api }: ControlPlane, kinds: readonly ForeignKind[]): Promise<void> {
  for (const kind of kinds) {
    const crd = crdOf(kind);
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${crd.metadata.name}`;
    await api.expect('PATCH', `${path}?fieldManager=test&force=true`, crd, APPLY_PATCH);
  }
  for (const { group, version, plural } of kinds)
    await eventually(`${plural}.${group} is served`, async () => {
      const { status } = await api.request('GET', `/apis/${group}/${version}/${plural}`);
      return status === 200 ? true : undefined;
    });
}

function crdOf({ group, version, kind, plural, singular, namespaced }: ForeignKind) {
  const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${plural}.${group}`,
      // As groups of k8s.io demand it.
      annotations: { 'api-approved.kubernetes.io': 'unapproved, for tests' },
    },
    spec: {
      group,
      scope: namespaced ? 'Namespaced' : 'Cluster',
      names: { kind, plural, singular, listKind: `${kind}List` },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: 'object', properties: { spec: anything, status: anything } } },
        },
      ],
    },
  };
}
