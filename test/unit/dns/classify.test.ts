import assert from 'node:assert/strict';
import { test } from 'vitest';
import { makeClassifier, type NameRules } from '../../../src/dns/classify.ts';
import { reverseRange } from '../../../src/dns/reverse.ts';

const rules: NameRules = {
  search: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'ec2.internal'],
  laptopSuffixes: ['corp.example', '*.intra', 'db.svc.cluster.local'],
  clusterSuffixes: ['k8s.corp.example', 'printer.local'],
  isClusterAddress: (address) => address === '10.96.0.10' || address === 'fd00::10',
};
const route = makeClassifier(rules);

const ROUTES = {
  localhost: 'loopback',
  'App.LocalHost.': 'loopback',
  wpad: 'laptop',
  'WPAD.example.com': 'laptop',
  'wpad.shop.svc.cluster.local': 'laptop',
  'wpadding.example.com': 'cluster-first',
  'nas.local': 'laptop',
  local: 'laptop',
  'cluster.local': 'cluster',
  'api.shop.svc.Cluster.Local': 'cluster',
  'ip-10-0-0-1.ec2.internal': 'cluster',
  internal: 'cluster-first',
  'example.com': 'cluster-first',
  api: 'cluster-first',
  // the user's words go first, the longer ones before the shorter
  'git.corp.example': 'laptop',
  'x.k8s.corp.example': 'cluster',
  'host.intra': 'laptop',
  'printer.local': 'cluster',
  'main.db.svc.cluster.local': 'laptop',
  // reverse names
  '10.0.96.10.in-addr.arpa': 'cluster-first', // 10.96.0.10 is the cluster's
  '1.0.0.10.in-addr.arpa': 'laptop',
  '1.1.168.192.in-addr.arpa': 'laptop',
  '1.0.31.172.in-addr.arpa': 'laptop',
  '1.0.32.172.in-addr.arpa': 'cluster-first',
  '172.in-addr.arpa': 'cluster-first',
  '10.in-addr.arpa': 'laptop',
  'lb._dns-sd._udp.0.1.168.192.in-addr.arpa': 'laptop',
  '1.1.254.169.in-addr.arpa': 'laptop',
  '1.0.0.127.in-addr.arpa': 'laptop',
  '8.8.8.8.in-addr.arpa': 'cluster-first',
  'in-addr.arpa': 'cluster-first',
  [`1.${'0.'.repeat(28)}0.8.e.f.ip6.arpa`]: 'laptop',
  [`0.1.${'0.'.repeat(28)}d.f.ip6.arpa`]: 'laptop',
  [`0.1.${'0.'.repeat(26)}0.0.d.f.ip6.arpa`]: 'laptop',
  [`0.1.${'0.'.repeat(26)}8.b.d.0.1.0.0.2.ip6.arpa`]: 'cluster-first',
} as const;

for (const [name, expected] of Object.entries(ROUTES)) {
  test(`${name} is a question for: ${expected}`, () => {
    assert.equal(route(name), expected);
  });
}

test('a reverse name of one of the cluster’s IPv6 addresses is not private', () => {
  const name = `0.1.${'0.'.repeat(26)}0.0.d.f.ip6.arpa`;
  const { lowest = '' } = reverseRange(name) ?? {};
  assert.equal(makeClassifier({ ...rules, isClusterAddress: (address) => address === lowest })(name), 'cluster-first');
});

test('a reverse name gives its address, a part of one the range, and nothing else gives any', () => {
  assert.deepEqual(reverseRange('4.3.2.1.IN-ADDR.arpa.'), { family: 4, lowest: '1.2.3.4', highest: '1.2.3.4' });
  assert.deepEqual(reverseRange('2.1.in-addr.arpa'), { family: 4, lowest: '1.2.0.0', highest: '1.2.255.255' });
  assert.deepEqual(reverseRange('300.1.in-addr.arpa'), { family: 4, lowest: '1.0.0.0', highest: '1.255.255.255' });
  assert.equal(reverseRange('x.in-addr.arpa'), undefined);
  assert.equal(reverseRange('ip6.arpa'), undefined);
  assert.equal(reverseRange('1.2.3.4'), undefined);
});
