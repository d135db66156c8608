import assert from 'node:assert/strict';
import { test } from 'vitest';
import { endpointPods } from '../../../cli/session/endpoints.ts';

const address = (name: string) => ({ ip: '10.0.0.1', targetRef: { kind: 'Pod', name } });

test('the pods of all subsets are endpoints, those that are not ready are not', () => {
  const subsets = [
    { addresses: [address('a'), address('b')], notReadyAddresses: [address('c')], ports: [{ port: 80 }] },
    { addresses: [address('d')] },
  ];
  assert.deepEqual(endpointPods({ metadata: { name: 'web' }, subsets }), ['a', 'b', 'd']);
});

test('a Service without endpoints, and an address that is no pod, have none', () => {
  assert.deepEqual(endpointPods({ metadata: { name: 'web' } }), []);
  assert.deepEqual(endpointPods({ metadata: { name: 'web' }, subsets: [{ addresses: [{ ip: '10.0.0.1' }] }] }), []);
});
