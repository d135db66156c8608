import assert from 'node:assert/strict';
import { test } from 'vitest';
import { endingAppsText, runsApp } from '../../../cli/kube/apps-end.ts';
import { AGENT_CONTAINER } from '../../../cli/kube/names.ts';
import { rawContainer, rawPod } from './raw-objects.ts';

test('an app runs until its containers have ended, also in a pod that is told to end', () => {
  const pod = rawPod();
  assert.equal(runsApp(pod), true);
  assert.equal(runsApp({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }), true);
  const terminated = { exitCode: 0 };
  const statuses = [{ name: 'app', state: { terminated } }];
  assert.equal(runsApp(rawPod({ status: { phase: 'Running', containerStatuses: statuses } })), false);
  const one = [...statuses, { name: 'side', state: { running: {} } }];
  assert.equal(runsApp(rawPod({ status: { phase: 'Running', containerStatuses: one } })), true);
  assert.equal(runsApp(rawPod({ status: { phase: 'Pending' } })), true);
  assert.equal(runsApp(rawPod({ status: { phase: 'Failed' } })), false);
});

test('a pod with the agent has no app that could run', () => {
  const spec = { containers: [rawContainer({ name: AGENT_CONTAINER }), rawContainer({ name: 'side' })] };
  assert.equal(runsApp(rawPod({ spec })), false);
});

test('who is waited for is said with the pods and how long they may take', () => {
  const text = "the app's pods to end: web-1, web-2 (grace period 45 s)";
  assert.equal(endingAppsText({ pods: ['web-1', 'web-2'], graceSeconds: 45 }), text);
});
