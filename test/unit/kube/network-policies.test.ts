import assert from 'node:assert/strict';
import { test } from 'vitest';
import { type NetworkPolicy, networkPolicyWarnings } from '../../../cli/kube/network-policies.ts';
import type { InstallMode, RouteRecord } from '../../../cli/kube/record.ts';

const labels = { app: 'web' };
const numeric: RouteRecord = {
  port: 9901,
  appPort: 8080,
  protocol: 'tcp',
  servicePorts: [{ service: 'web', port: 80 }],
};
const named = { ...numeric, targetName: 'http' };
const udp: RouteRecord = { ...numeric, protocol: 'udp' };
const mode: InstallMode = { kind: 'sidecar' };

function policy(ports: unknown, over: Partial<NetworkPolicy['spec']> = {}): NetworkPolicy {
  const spec = { podSelector: { matchLabels: labels }, ingress: [{ ports }], ...over };
  return { metadata: { name: 'p' }, spec: spec as NetworkPolicy['spec'] };
}

test.each([
  ['the app’s number only', [{ port: 8080 }], numeric, 1],
  ['the app’s number only, where the name is taken over', [{ port: 8080 }], named, 1],
  ['the name', [{ port: 'http' }], named, 0],
  ['every port', undefined, numeric, 0],
  ['both numbers', [{ port: 8080 }, { port: 9901 }], numeric, 0],
  ['a range over both', [{ port: 8000, endPort: 9999 }], numeric, 0],
  ['another port', [{ port: 5432 }], numeric, 0],
  ['UDP', [{ port: 8080, protocol: 'UDP' }], numeric, 0],
  ['UDP, where UDP is intercepted', [{ port: 8080, protocol: 'UDP' }], udp, 1],
])('a policy that admits %s', (_, ports, route, warnings) => {
  assert.equal(networkPolicyWarnings([policy(ports)], labels, { mode, routes: [route] }).length, warnings);
});

test('policies of other pods or of egress only do not count, one with expressions does', () => {
  const ports = [{ port: 8080 }];
  const others = policy(ports, { podSelector: { matchLabels: { app: 'db' } } });
  const egress = policy(ports, { policyTypes: ['Egress'] });
  const expression = policy(ports, {
    podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['web'] }] },
  });
  assert.equal(networkPolicyWarnings([others, egress, expression], labels, { mode, routes: [numeric] }).length, 1);
  assert.match(networkPolicyWarnings([expression], labels, { mode, routes: [numeric] })[0] ?? '', /"p".*8080.*9901/);
});

test('in the modes that keep the app’s ports, callers are admitted as before', () => {
  for (const kind of ['replace', 'redirect'] as const)
    assert.deepEqual(
      networkPolicyWarnings([policy([{ port: 8080 }])], labels, { mode: { kind }, routes: [numeric] }),
      [],
    );
});
