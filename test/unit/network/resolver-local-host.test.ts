import assert from 'node:assert/strict';
import { test } from 'vitest';
import type { ResolverOptions } from '../../../cli/network/dns/resolver.ts';
import { HostGlobs } from '../../../cli/network/egress/host-globs.ts';
import { query } from '../dns/messages.ts';
import { ask, makeResolver, nobody, rcode, SEARCH, table, texts, upstream } from './resolver-scene.ts';

function localHosts(...globs: string[]): Pick<ResolverOptions, 'laptopNames'> {
  const hosts = new HostGlobs(globs, SEARCH);
  return { laptopNames: (name) => hosts.namesOf(name) };
}

test('a name of --local-host is the laptop’s even where the cluster knows it', async () => {
  const cluster = upstream(table({ 'git.corp.example': ['10.7.7.7'], 'api.shop.svc.cluster.local': ['10.96.1.1'] }));
  const laptop = upstream(table({ 'git.corp.example': ['192.168.7.7'], api: ['192.168.7.8'] }));
  const resolver = makeResolver(cluster, laptop, localHosts('*.corp.example', 'api'));
  assert.deepEqual(texts(await ask(resolver, query('git.corp.example'))), ['192.168.7.7']);
  assert.deepEqual(texts(await ask(resolver, query('api.shop.svc.cluster.local'))), ['192.168.7.8']);
  assert.deepEqual(cluster.asked, []);
  assert.equal(resolver.originOf('192.168.7.7'), 'laptop');
  assert.deepEqual(await resolver.lookup('api', 4), [{ address: '192.168.7.8', family: 4, origin: 'laptop' }]);
  assert.deepEqual(laptop.asked.includes('A api.shop.svc.cluster.local'), false);
});

test('a name of --local-host that only the cluster knows is dialled from the laptop', async () => {
  const cluster = upstream(table({ 'api.shop.svc.cluster.local': ['10.96.1.1'], 'alias.example': ['10.96.1.1'] }));
  const resolver = makeResolver(cluster, upstream(table({})), localHosts('api'));
  await ask(resolver, query('alias.example'));
  assert.equal(resolver.originOf('10.96.1.1'), 'cluster');
  assert.deepEqual(texts(await ask(resolver, query('api.shop.svc.cluster.local'))), ['10.96.1.1']);
  assert.equal(resolver.originOf('10.96.1.1'), 'laptop');
  await ask(resolver, query('alias.example', 'AAAA'));
  assert.equal(resolver.originOf('10.96.1.1'), 'laptop');
  assert.deepEqual(await resolver.lookup('api', 0), [{ address: '10.96.1.1', family: 4, origin: 'laptop' }]);
});

test('a laptop that does not answer for a name of --local-host leaves it to the cluster, and nobody’s name stays nobody’s', async () => {
  const cluster = upstream(table({ 'git.corp.example': ['10.7.7.7'] }));
  const resolver = makeResolver(cluster, nobody, localHosts('*.corp.example'));
  assert.deepEqual(texts(await ask(resolver, query('git.corp.example'))), ['10.7.7.7']);
  assert.equal(rcode(await ask(resolver, query('no.corp.example'))), 3);
});
