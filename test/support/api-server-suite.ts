// Tests on a real API server, one control plane for all tests of a block.
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from './control-plane.ts';
import { kubernetesPrograms } from './kubernetes-programs.ts';

/** Without etcd and kube-apiserver the block is a named skip, or, under COUNTERSIGN_REQUIRE=all, a failure. The CRDs are installed. */
export function describeOnApiServer(
  title: string,
  tests: (plane: () => ControlPlane) => void,
  options: ControlPlaneOptions = {},
): void {
  describe(title, () => {
    const programs = kubernetesPrograms();
    if ('folder' in programs) tests(usePlane(options));
    else if (process.env['COUNTERSIGN_REQUIRE'] === 'all') {
      test(programs.missing, () => {
        throw new Error(programs.missing);
      });
    } else test.skip(programs.missing, () => {});
  });
}

function usePlane(options: ControlPlaneOptions): () => ControlPlane {
  let plane: ControlPlane | undefined;
  beforeAll(async () => {
    plane = await startControlPlane(options);
    await plane.installCrds();
  });
  afterAll(() => plane?.stop());
  return () => {
    if (!plane) throw new Error('the control plane did not start');
    return plane;
  };
}
