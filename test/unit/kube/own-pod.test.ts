import assert from 'node:assert/strict';
import { test } from 'vitest';
import { ownPodName } from '../../../cli/kube/names.ts';
import { OWN_POD_IDLE_EXIT_MS, planOwnPod, recordOf } from '../../../cli/kube/own-pod.ts';
import { agentConfig } from '../../../cli/session/agent-pods.ts';

const request = {
  namespace: 'shop',
  agent: { image: 'node:22-slim', code: 'code' },
  serviceAccount: 'robot',
  createdBy: { user: 'Ann.Smith', host: 'laptop' },
  installId: '1a2b3c4d',
};

test('a pod of its own carries its record, the token of its service account and an end for when nobody uses it', () => {
  const { pod, record } = planOwnPod(request, '2026-01-01T00:00:00Z');
  assert.equal(pod.metadata.name, 'kube-intercept-ann-smith-1a2b3c4d');
  assert.deepEqual(recordOf(pod), record);
  assert.equal(pod.spec.serviceAccountName, 'robot');
  assert.equal(pod.spec.automountServiceAccountToken, true);
  assert.equal(pod.spec.restartPolicy, 'OnFailure'); // ended means ended
  assert.deepEqual(agentConfig(pod)?.routes, []);
  assert.equal(agentConfig(pod)?.exitIdleMs, OWN_POD_IDLE_EXIT_MS);
  const [container] = pod.spec.containers;
  assert.equal(container?.securityContext?.runAsNonRoot, true);
});

test('a record that cannot be read is none', () => {
  const { pod } = planOwnPod(request, '2026-01-01T00:00:00Z');
  const annotations = { 'kube-intercept.dev/intercept': '{"version":9}' };
  assert.equal(recordOf({ ...pod, metadata: { ...pod.metadata, annotations } }), undefined);
});

test('names of pods fit a host name, whoever the user is', () => {
  for (const user of ['x'.repeat(200), 'Ünï', '-', 'a.b_c@corp'])
    assert.match(ownPodName(user, '1a2b3c4d'), /^(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?$/);
});
