import assert from 'node:assert/strict';
import { test } from 'vitest';
import { DialError } from '../../../cli/network/dial-error.ts';
import { query } from '../dns/messages.ts';
import { ask, makeResolver, nobody, table, texts, upstream } from './resolver-scene.ts';

test('lookup asks all candidates of the search list at once, and the first in order wins', async () => {
  const names = { 'api.shop.svc.cluster.local': ['10.96.1.1', 'fd00::1'], 'api.svc.cluster.local': ['10.96.9.9'] };
  const cluster = upstream(table(names));
  const resolver = makeResolver(cluster, upstream(table({})));
  assert.deepEqual(await resolver.lookup('api', 0), [
    { address: '10.96.1.1', family: 4, origin: 'cluster' },
    { address: 'fd00::1', family: 6, origin: 'cluster' },
  ]);
  assert.equal(cluster.asked.length, 8);
  assert.deepEqual(await resolver.lookup('api.svc', 4), [{ address: '10.96.9.9', family: 4, origin: 'cluster' }]);
  assert.deepEqual(await resolver.lookup('api', 6), [{ address: 'fd00::1', family: 6, origin: 'cluster' }]);
});

test('lookup tells the laptop no name that the search list finds in the cluster', async () => {
  const cluster = upstream(table({ 'api.svc.cluster.local': ['10.96.1.1'] }));
  const laptop = upstream(table({ api: ['192.168.1.1'], 'nas.local': ['192.168.1.2'] }));
  const resolver = makeResolver(cluster, laptop);
  const all = await Promise.all(Array.from({ length: 20 }, () => resolver.lookup('api', 4)));
  assert.ok(all.every(([first]) => first?.address === '10.96.1.1'));
  assert.equal(cluster.asked.length, 4); // three domains and the name itself, once for all
  assert.deepEqual(laptop.asked, []);
  // What was held back there is no answer for who asks for that very name.
  assert.deepEqual(texts(await ask(resolver, query('api'))), ['192.168.1.1']);
  assert.deepEqual(await resolver.lookup('nas.local', 4), [{ address: '192.168.1.2', family: 4, origin: 'laptop' }]);
  assert.equal(resolver.stats().inFlight, 0);
});

test('lookup follows CNAMEs in the answer', async () => {
  const cluster = upstream(({ name }) => ({
    answers: [
      { name, type: 'CNAME', ttl: 30, data: 'elsewhere.example' },
      { name: 'elsewhere.example', type: 'A', ttl: 30, data: '1.2.3.4' },
    ],
  }));
  const resolver = makeResolver(cluster, nobody);
  assert.deepEqual(await resolver.lookup('db.shop.svc.cluster.local', 4), [
    { address: '1.2.3.4', family: 4, origin: 'cluster' },
  ]);
});

test('lookup gives the laptop’s addresses where the cluster knows no such name', async () => {
  const resolver = makeResolver(
    upstream(table({})),
    upstream(table({ 'nas.intra': ['192.168.1.1'], nas: ['192.168.1.2'] })),
  );
  assert.deepEqual(await resolver.lookup('nas.intra', 0), [{ address: '192.168.1.1', family: 4, origin: 'laptop' }]);
  assert.deepEqual(await resolver.lookup('nas', 0), [{ address: '192.168.1.2', family: 4, origin: 'laptop' }]);
  assert.deepEqual(await resolver.lookup('localhost', 4), [{ address: '127.0.0.1', family: 4, origin: 'laptop' }]);
});

test('a name that is none, or that nobody has, has no addresses; without an answer the lookup fails', async () => {
  const cluster = upstream(table({}));
  const resolver = makeResolver(cluster, upstream(table({})));
  for (const name of ['', '.', 'a..b', 'a'.repeat(64), `${'a.'.repeat(127)}a`, 'no\u0000body', '\ud800']) {
    assert.deepEqual(await resolver.lookup(name, 0), [], JSON.stringify(name));
  }
  assert.deepEqual(cluster.asked, []);
  assert.deepEqual(await resolver.lookup('nope', 0), []);
  const deaf = makeResolver(nobody, nobody);
  await assert.rejects(deaf.lookup('api', 0), (error) => error instanceof DialError && error.code === 'ETIMEDOUT');
});

test('an address literal is its own answer', async () => {
  const resolver = makeResolver(nobody, nobody);
  assert.deepEqual(await resolver.lookup('10.1.1.1', 0), [{ address: '10.1.1.1', family: 4, origin: 'cluster' }]);
  assert.deepEqual(await resolver.lookup('2001:DB8::1', 6), [{ address: '2001:db8::1', family: 6, origin: 'cluster' }]);
  assert.deepEqual(await resolver.lookup('10.1.1.1', 6), []);
});
