import assert from 'node:assert/strict';
import { test } from 'vitest';
import type { Workload } from '../../../cli/kube/objects.ts';
import { planOwnPod } from '../../../cli/kube/own-pod.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { type CheckedPodSpec, restrictedViolations } from '../../cluster/pod-security.ts';
import { withRestrictedPods } from '../../support/restricted-pods.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from '../kube/raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';
const SERVICE = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' }]);

const container = {
  name: 'app',
  securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
};
const spec: CheckedPodSpec = {
  containers: [container],
  securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
};

test('a pod that says all that the level asks for is admitted, and each thing that it forbids is named', () => {
  assert.deepEqual(restrictedViolations(spec), []);
  const context = (over: object): CheckedPodSpec => ({
    ...spec,
    containers: [{ ...container, securityContext: { ...container.securityContext, ...over } }],
  });
  const refused: [RegExp, CheckedPodSpec][] = [
    [/^host namespaces \(hostNetwork=true\)$/, { ...spec, hostNetwork: true }],
    [/^hostPort \(container "app" /, { ...spec, containers: [{ ...container, ports: [{ hostPort: 80 }] }] }],
    [/^privileged /, context({ privileged: true })],
    [/^procMount /, context({ procMount: 'Unmasked' })],
    [/^seLinuxOptions /, context({ seLinuxOptions: { type: 'spc_t' } })],
    [/^forbidden sysctls /, { ...spec, securityContext: { ...spec.securityContext, sysctls: [{ name: 'kernel.x' }] } }],
    [/^restricted volume types .*"h"/, { ...spec, volumes: [{ name: 'h', hostPath: { path: '/' } }] }],
    [/^allowPrivilegeEscalation != false /, context({ allowPrivilegeEscalation: true })],
    [/^unrestricted capabilities /, context({ capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } })],
    [/^unrestricted capabilities /, context({ capabilities: { drop: ['NET_RAW'] } })],
    [/^runAsNonRoot != true /, context({ runAsNonRoot: false })],
    [/^runAsUser=0 /, context({ runAsUser: 0 })],
    [/^runAsUser=0 \(pod/, { ...spec, securityContext: { ...spec.securityContext, runAsUser: 0 } }],
    [/^seccompProfile /, context({ seccompProfile: { type: 'Unconfined' } })],
    [
      /^runAsNonRoot != true \(containers "i", "app" /,
      { containers: [container], initContainers: [{ ...container, name: 'i' }] },
    ],
  ];
  for (const [text, pod] of refused) assert.match(restrictedViolations(pod)[0] ?? 'admitted', text);
  const apparmor = { 'container.apparmor.security.beta.kubernetes.io/app': 'unconfined' };
  assert.match(restrictedViolations(spec, apparmor)[0] ?? '', /AppArmor/);
});

test('a pod that is admitted is admitted with the agent, too, and so is a pod that is nothing but an agent', () => {
  const raw = rawWorkload('Deployment', [rawContainer({ ports: [{ name: 'http', containerPort: 8080 }] })]);
  assert.notDeepEqual(restrictedViolations(podOf(raw)), []);
  const workload = withRestrictedPods(raw) as Workload;
  assert.deepEqual(restrictedViolations(podOf(workload)), []);
  for (const kind of ['sidecar', 'replace', 'redirect'] as const) {
    const { after } = planInstall(workload, installRequest(workload, SERVICE, { mode: { kind } }), AT).workload;
    const found = restrictedViolations(podOf(after));
    if (kind === 'redirect') assert.match(found.join(), /unrestricted capabilities .*"kube-intercept-redirect"/);
    else assert.deepEqual(found, [], kind);
  }
  const request = { namespace: 'shop', agent: { image: 'i', code: '' }, createdBy: { user: 'a', host: 'b' } };
  const { pod } = planOwnPod({ ...request, serviceAccount: undefined, installId: '1a2b3c4d' }, AT);
  assert.deepEqual(restrictedViolations(pod.spec as CheckedPodSpec), []);
});

function podOf(workload: Workload): CheckedPodSpec {
  return workload.spec.template.spec as CheckedPodSpec;
}
