import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import type { Upstream } from '../../../cli/network/dns/upstream.ts';
import { NXDOMAIN, type Zone, type ZoneAnswer, zoneReply } from '../../support/zone-server.ts';
import { query } from '../dns/messages.ts';
import { ask, makeResolver, nobody, rcode, silent, table, texts, upstream } from './resolver-scene.ts';

test('a cluster name is asked of the cluster alone, and its address is the cluster’s', async () => {
  const [cluster, laptop] = [upstream(table({ 'api.shop.svc.cluster.local': ['10.96.1.1'] })), upstream(table({}))];
  const resolver = makeResolver(cluster, laptop);
  assert.deepEqual(texts(await ask(resolver, query('api.shop.svc.cluster.local'))), ['10.96.1.1']);
  assert.equal(rcode(await ask(resolver, query('nope.shop.svc.cluster.local'))), 3);
  assert.deepEqual(laptop.asked, []);
  assert.equal(resolver.originOf('10.96.1.1'), 'cluster');
  assert.equal(resolver.originOf('::ffff:10.96.1.1'), 'cluster');
  assert.equal(resolver.originOf('10.96.1.2'), undefined);
});

test('wpad, .local, private reverse names and --dns-local never reach the cluster', async () => {
  const [cluster, laptop] = [upstream(table({})), upstream(table({ 'nas.local': ['192.168.0.9'] }))];
  const resolver = makeResolver(cluster, laptop);
  for (const name of ['wpad', 'wpad.lan', 'nas.local', 'git.intra', '1.1.168.192.in-addr.arpa']) {
    await ask(resolver, query(name));
  }
  assert.deepEqual(cluster.asked, []);
  assert.equal(laptop.asked.length, 5);
  assert.equal(resolver.originOf('192.168.0.9'), 'laptop');
});

test('localhost is known without asking anybody', async () => {
  const resolver = makeResolver(nobody, nobody);
  assert.deepEqual(texts(await ask(resolver, query('localhost'))), ['127.0.0.1']);
  assert.deepEqual(texts(await ask(resolver, query('a.localhost', 'AAAA'))), ['::1']);
  const other = await ask(resolver, query('localhost', 'MX'));
  assert.deepEqual([texts(other), other.questions?.[0]?.type], [[], 'MX']);
  assert.deepEqual(nobody.asked, []);
});

test('a reverse name of a cluster address is asked of the cluster, be it by range or learned', async () => {
  const cluster = upstream(table({ 'web.example.com': ['10.1.2.3'] }));
  const resolver = makeResolver(cluster, upstream(table({})));
  await ask(resolver, query('5.0.96.10.in-addr.arpa', 'PTR'));
  await ask(resolver, query('3.2.1.10.in-addr.arpa', 'PTR'));
  await ask(resolver, query('web.example.com'));
  await ask(resolver, query('3.2.1.10.in-addr.arpa', 'PTR', 512));
  assert.deepEqual(cluster.asked, ['PTR 5.0.96.10.in-addr.arpa', 'A web.example.com', 'PTR 3.2.1.10.in-addr.arpa']);
});

test('a name the cluster does not know is asked of the laptop, and its address is dialled from there', async () => {
  const [cluster, laptop] = [upstream(table({})), upstream(table({ 'db.corp.example': ['192.168.7.7'] }))];
  const resolver = makeResolver(cluster, laptop);
  assert.deepEqual(texts(await ask(resolver, query('db.corp.example'))), ['192.168.7.7']);
  assert.equal(resolver.originOf('192.168.7.7'), 'laptop');
  assert.equal(rcode(await ask(resolver, query('db.corp.example', 'AAAA'))), 0); // exists, without such an address
  assert.equal(rcode(await ask(resolver, query('nowhere.example'))), 3);
});

test('a name that the cluster knows without such a record is not asked of the laptop', async () => {
  const [cluster, laptop] = [upstream(table({ 'web.example.com': ['1.2.3.4'] })), upstream(table({}))];
  const resolver = makeResolver(cluster, laptop);
  const told = await ask(resolver, query('web.example.com', 'AAAA'));
  assert.deepEqual([rcode(told), texts(told)], [0, []]);
  assert.deepEqual(laptop.asked, []);
});

const COMBINED: readonly [cluster: Zone, laptop: Zone, expected: number][] = [
  [() => ({ rcode: 2 }), () => NXDOMAIN, 2], // who failed might have known it
  [() => undefined, () => NXDOMAIN, 2],
  [() => ({ rcode: 5 }), () => NXDOMAIN, 3], // refused: not its to know
  [() => NXDOMAIN, () => ({ rcode: 2 }), 3],
  [() => NXDOMAIN, () => undefined, 3],
  [() => undefined, () => ({ answers: [{ name: 'x.example', type: 'A', ttl: 1, data: '1.1.1.1' }] }), 0],
  [() => undefined, () => undefined, 2],
];
for (const [index, [cluster, laptop, expected]] of COMBINED.entries()) {
  test(`what both said together gives rcode ${expected} (row ${index + 1})`, async () => {
    assert.equal(rcode(await ask(makeResolver(upstream(cluster), upstream(laptop)), query('x.example'))), expected);
  });
}

test('a "no" that the laptop could not confirm is not kept', async () => {
  const cluster = upstream(() => NXDOMAIN);
  const resolver = makeResolver(cluster, nobody);
  for (let times = 0; times < 2; times++) await ask(resolver, query('x.example'));
  assert.equal(cluster.asked.length, 2);
});

test('equal questions at one time are asked once, whatever their ids, cases and sizes, and each gets its own answer', async () => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const zone = table({ 'api.shop.svc.cluster.local': ['10.96.1.1'] });
  const cluster = upstream(async (question): Promise<ZoneAnswer | undefined> => {
    await held;
    return await zone(question);
  });
  const resolver = makeResolver(cluster, nobody);
  const waiting = Array.from({ length: 500 }, (_, id) =>
    ask(resolver, query(id % 2 ? 'API.shop.svc.cluster.local' : 'api.shop.svc.cluster.local', 'A', 0, id)),
  );
  release();
  for (const [id, packet] of (await Promise.all(waiting)).entries()) {
    assert.equal(packet.id, id);
    assert.deepEqual(texts(packet), ['10.96.1.1']);
    assert.equal(packet.questions?.[0]?.name.startsWith(id % 2 ? 'API' : 'api'), true);
  }
  assert.equal(cluster.asked.length, 1);
  assert.equal(resolver.stats().inFlight, 0);
});

test('an answer is told again until its TTL is over; TTL 0 never', async () => {
  const cluster = upstream(table({ 'api.svc.cluster.local': ['10.96.1.1'] }));
  const resolver = makeResolver(cluster, nobody);
  for (let times = 0; times < 3; times++) await ask(resolver, query('api.svc.cluster.local'));
  assert.equal(cluster.asked.length, 1);
  const fleeting = upstream(table({ 'api.svc.cluster.local': ['10.96.1.1'] }, 0));
  const other = makeResolver(fleeting, nobody);
  for (let times = 0; times < 3; times++) await ask(other, query('api.svc.cluster.local'));
  assert.equal(fleeting.asked.length, 3);
});

test('types that nobody here knows pass byte for byte', async () => {
  const data = Buffer.from('00010000010003026832', 'hex');
  const cluster: Upstream = {
    ask: async (message) => {
      const question = message.subarray(12, message.length);
      const head = Buffer.from('000081800001000100000000', 'hex');
      const record = Buffer.concat([Buffer.from('c00c00410001000000640000', 'hex'), data]);
      record.writeUInt16BE(data.length, 10);
      return Buffer.concat([head, question, record]);
    },
  };
  const message = query('web.svc.cluster.local');
  message.writeUInt16BE(65, message.length - 4); // HTTPS
  const told = await makeResolver(cluster, nobody).answer(message, 'udp');
  assert.deepEqual(told.subarray(told.length - data.length), data);
});

test('answers to another question, broken ones and silence are SERVFAIL', async () => {
  const wrong: Upstream[] = [
    { ask: async () => (await zoneReply(table({}), query('other.svc.cluster.local'))) ?? Buffer.alloc(0) },
    { ask: async () => Buffer.from('garbage garbage') },
    silent,
  ];
  for (const cluster of wrong) {
    const resolver = makeResolver(cluster, nobody, { limits: { upstreamDeadlineMs: 20 } });
    assert.equal(rcode(await ask(resolver, query('api.svc.cluster.local'))), 2);
    assert.equal(resolver.stats().inFlight, 0);
  }
});

test('more questions at a time than the limit are SERVFAIL at once, and close() ends those that wait', async () => {
  const resolver = makeResolver(silent, silent, { limits: { maxInFlight: 3 } });
  const waiting = [1, 2, 3].map((number) => ask(resolver, query(`n${number}.svc.cluster.local`)));
  assert.equal(rcode(await ask(resolver, query('n4.svc.cluster.local'))), 2);
  resolver.close();
  for (const packet of await Promise.all(waiting)) assert.equal(rcode(packet), 2);
  assert.equal(rcode(await ask(resolver, query('n1.svc.cluster.local'))), 2);
});

test('a reply is never answered, garbage is FORMERR, other opcodes, classes and zone transfers are refused', async () => {
  const resolver = makeResolver(nobody, nobody);
  const reply = await zoneReply(table({}), query('a.example'));
  assert.equal((await resolver.answer(reply ?? Buffer.alloc(0), 'udp')).length, 0);
  assert.equal((await resolver.answer(Buffer.from('short'), 'udp')).length, 0);
  const broken = Buffer.concat([query('a').subarray(0, 12), Buffer.alloc(70, 200)]);
  assert.equal((await resolver.answer(broken, 'udp')).readUInt16BE(2) & 15, 1);
  const update = query('a');
  update.writeUInt16BE(0x2800, 2);
  assert.equal((await resolver.answer(update, 'udp')).readUInt16BE(2) & 15, 4);
  const chaos = query('version.bind', 'TXT');
  chaos.writeUInt16BE(3, chaos.length - 2);
  assert.equal(rcode(await ask(resolver, chaos)), 4);
  assert.equal(rcode(await ask(resolver, query('cluster.local', 'AXFR'))), 5);
});

test('no bytes make the resolver reject, or answer more than was asked for', async () => {
  const resolver = makeResolver(upstream(table({})), upstream(table({})));
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      const told = await resolver.answer(Buffer.from(bytes), 'udp');
      assert.ok(told.length <= 512);
    }),
    { numRuns: 500 },
  );
});
