import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { AddressRanges, parseCidr } from '../../../../cli/network/egress/address-ranges.ts';
import { HostGlobs } from '../../../../cli/network/egress/host-globs.ts';
import {
  addressLiteral,
  type EgressPolicy,
  wayOfAddress,
  wayOfFound,
  wayOfName,
} from '../../../../cli/network/egress/policy.ts';

const policy = (change: Partial<EgressPolicy> = {}): EgressPolicy => ({
  egress: 'pod',
  localHosts: new HostGlobs(['*.corp.example', 'db.home', '203.0.113.*']),
  localRanges: new AddressRanges(['192.168.0.0/16', 'fd12::/16', '198.51.100.7']),
  clusterRanges: new AddressRanges(['10.96.0.0/12', '10.244.0.0/16', 'fd00:96::/64']),
  isClusterName: (name) => name.endsWith('.svc.cluster.local'),
  originOf: (address) => (address === '172.20.0.9' ? 'laptop' : undefined),
  ...change,
});

describe('names', () => {
  const rows: readonly (readonly [string, 'pod' | 'laptop' | undefined])[] = [
    ['localhost', 'laptop'],
    ['LOCALHOST.', 'laptop'],
    ['web.localhost', 'laptop'],
    ['git.corp.example', 'laptop'],
    ['a.b.CORP.example.', 'laptop'],
    ['corp.example', undefined],
    ['db.home', 'laptop'],
    ['xdb.home', undefined],
    ['dbxhome', undefined],
    ['api.shop.svc.cluster.local', 'pod'],
    ['api', undefined],
  ];
  test.each(rows)('%s leaves from %s', (name, way) => {
    assert.equal(wayOfName(name, policy()), way);
  });
});

describe('addresses with --egress pod', () => {
  const rows = [
    ['127.0.0.1', 'laptop'],
    ['127.8.9.1', 'laptop'],
    ['::1', 'laptop'],
    ['::ffff:127.0.0.1', 'laptop'],
    ['0.0.0.0', 'laptop'],
    ['192.168.3.4', 'laptop'],
    ['::ffff:192.168.3.4', 'laptop'],
    ['fd12:1::1', 'laptop'],
    ['198.51.100.7', 'laptop'],
    ['198.51.100.8', 'pod'],
    ['203.0.113.5', 'laptop'],
    ['172.20.0.9', 'laptop'],
    ['10.96.0.1', 'pod'],
    ['93.184.216.34', 'pod'],
    ['2001:db8::1', 'pod'],
  ] as const;
  test.each(rows)('%s leaves from the %s', (address, way) => {
    assert.equal(wayOfAddress(address, policy()), way);
  });
});

describe('addresses with --egress cluster', () => {
  const rows = [
    ['10.96.0.1', 'pod'],
    ['10.244.3.2', 'pod'],
    ['fd00:96::1', 'pod'],
    ['93.184.216.34', 'laptop'],
    ['10.0.0.1', 'laptop'],
    ['172.20.0.9', 'laptop'],
  ] as const;
  test.each(rows)('%s leaves from the %s', (address, way) => {
    assert.equal(wayOfAddress(address, policy({ egress: 'cluster' })), way);
  });
});

test('what a lookup just said of an address counts more than what is remembered', () => {
  assert.equal(wayOfAddress('172.20.0.9', policy(), 'cluster'), 'pod');
  assert.equal(wayOfAddress('8.8.8.8', policy(), 'laptop'), 'laptop');
});

test('literals are told from names, with brackets and zones', () => {
  assert.equal(addressLiteral('[::1]'), '::1');
  assert.equal(addressLiteral('fe80::1%eth0'), 'fe80::1');
  assert.equal(addressLiteral('10.0.0.1'), '10.0.0.1');
  assert.equal(addressLiteral('api'), undefined);
  assert.equal(addressLiteral('1.2.3'), undefined);
});

test('what is no range or no host name is refused with USAGE_BAD_OPTION', () => {
  for (const bad of [
    '',
    '10.0.0.0/33',
    '10.0.0/8',
    'fd00::/129',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    'x',
    'fe80::1%eth0/64',
    '10.0.0.0/-1',
  ])
    assert.throws(() => parseCidr(bad), { code: 'USAGE_BAD_OPTION' }, bad);
  for (const bad of ['', 'a b', 'http://x', 'x'.repeat(254)])
    assert.throws(() => new HostGlobs([bad]), { code: 'USAGE_BAD_OPTION' }, bad);
});

test('a glob takes any characters for a star, and many stars are no trap', () => {
  const has = (glob: string, name: string): boolean => new HostGlobs([glob]).has(name);
  assert.equal(has('*', 'anything.at.all'), true);
  assert.equal(has('a*b*c', 'a.x.b.y.c'), true);
  assert.equal(has('a*b*c', 'abc'), true);
  assert.equal(has('ab*bc', 'abc'), false);
  assert.equal(has('a*', 'ba'), false);
  assert.equal(has(`${'*a'.repeat(100)}*b`, `${'a'.repeat(250)}c`), false);
});

test('--local-cidr counts for what the cluster’s names lead to, too', () => {
  const found = (address: string) => ({ address, family: 4, origin: 'cluster' }) as const;
  assert.equal(wayOfFound('db.shop.svc.cluster.local', found('192.168.3.4'), policy()), 'laptop');
  assert.equal(wayOfFound('db.shop.svc.cluster.local', found('10.96.0.9'), policy()), 'pod');
  assert.equal(wayOfFound('example.com', found('192.168.3.4'), policy()), 'laptop');
  assert.equal(wayOfFound('git.corp.example', found('10.96.0.9'), policy()), 'laptop');
});

test('a glob means a name as it is typed, and what the search list makes of it', () => {
  const globs = new HostGlobs(['api', 'db.corp'], ['shop.svc.cluster.local', 'svc.cluster.local.']);
  assert.deepEqual(globs.namesOf('api'), ['api']);
  assert.deepEqual(globs.namesOf('API.shop.svc.cluster.local.'), ['api']);
  assert.deepEqual(globs.namesOf('db.corp.svc.cluster.local'), ['db.corp']);
  assert.deepEqual(globs.namesOf('api.other.svc.cluster.local'), []);
  assert.deepEqual(globs.namesOf('api.example.com'), []);
  assert.equal(globs.has('api.shop.svc.cluster.local'), true);
  assert.deepEqual(new HostGlobs(['*'], ['svc.cluster.local']).namesOf('a.b.svc.cluster.local'), [
    'a.b.svc.cluster.local',
    'a.b',
  ]);
});
