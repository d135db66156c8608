import assert from 'node:assert/strict';
import dnsPacket from 'dns-packet';
import fc from 'fast-check';
import { test } from 'vitest';
import { DialError } from '../../../cli/network/dial-error.ts';
import { LearnedOrigins } from '../../../cli/network/dns/origins.ts';
import { PodResolver, type ResolverOptions } from '../../../cli/network/dns/resolver.ts';
import type { Upstream } from '../../../cli/network/dns/upstream.ts';
import { HostGlobs } from '../../../cli/network/egress/host-globs.ts';
import { silentLog } from '../../../src/log.ts';
import { NXDOMAIN, type Zone, type ZoneAnswer, zoneReply } from '../../support/zone-server.ts';
import { query } from '../dns/messages.ts';

const SEARCH = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'];

interface Counting extends Upstream {
  readonly asked: string[];
}

/** Answers from a table, A and AAAA by the form of the address; a name it has not is NXDOMAIN. */
function table(names: Readonly<Record<string, readonly string[]>>, ttl = 30): Zone {
  return ({ name, type }) => {
    const found = names[name.toLowerCase()];
    if (found === undefined) return NXDOMAIN;
    const data = found.filter((text) => (type === 'AAAA') === text.includes(':'));
    if (data.length === 0) return { authorities: NXDOMAIN.authorities ?? [] };
    const [recordType, wanted] = type === 'AAAA' ? (['AAAA', data] as const) : (['A', data] as const);
    return { answers: wanted.map((text) => ({ name, type: recordType, ttl, data: text })) };
  };
}

function upstream(zone: Zone): Counting {
  const asked: string[] = [];
  return {
    asked,
    ask: async (message) => {
      const [question] = dnsPacket.decode(message).questions ?? [];
      asked.push(`${question?.type} ${question?.name}`);
      const reply = await zoneReply(zone, message);
      if (reply === undefined) throw new Error('no answer');
      return reply;
    },
  };
}

const silent: Upstream = {
  ask: (_message, signal) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
};
const nobody = upstream(() => undefined);

function makeResolver(cluster: Upstream, laptop: Upstream, more: Partial<ResolverOptions> = {}): PodResolver {
  return new PodResolver({
    search: SEARCH,
    ndots: 5,
    cluster,
    laptop,
    laptopSuffixes: ['intra'],
    clusterSuffixes: [],
    inClusterRange: (address) => address.startsWith('10.96.'),
    log: silentLog,
    ...more,
  });
}

async function ask(resolver: PodResolver, message: Buffer): Promise<dnsPacket.DecodedPacket> {
  return dnsPacket.decode(await resolver.answer(message, 'udp'));
}

const rcode = (packet: dnsPacket.Packet): number => (packet.flags ?? 0) & 15;
const texts = (packet: dnsPacket.Packet): unknown[] =>
  (packet.answers ?? []).map((record) => ('data' in record ? record.data : undefined));

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

test('an address is remembered for ten minutes at least, for longer while it is used, and is bounded', () => {
  const minute = 60_000;
  const origins = new LearnedOrigins(3);
  origins.learn('192.168.1.1', 'laptop', 5, 0);
  assert.equal(origins.originOf('192.168.1.1', 9 * minute), 'laptop');
  assert.equal(origins.originOf('192.168.1.1', 18 * minute), 'laptop');
  assert.equal(origins.originOf('192.168.1.1', 28 * minute), undefined);
  origins.learn('10.0.0.1', 'cluster', 3600, 0);
  assert.equal(origins.originOf('10.0.0.1', 59 * minute), 'cluster');
  for (let last = 1; last <= 10; last++) origins.learn(`10.9.0.${last}`, 'cluster', 5, 0);
  assert.equal(origins.size, 3);
});

test('an address that both know is the cluster’s, and loopback is nobody’s', () => {
  const origins = new LearnedOrigins();
  origins.learn('10.0.0.1', 'laptop', 5, 0);
  origins.learn('10.0.0.1', 'cluster', 5, 1);
  origins.learn('10.0.0.1', 'laptop', 5, 2);
  assert.equal(origins.originOf('10.0.0.1', 3), 'cluster');
  for (const address of ['127.0.0.1', '::1', '0.0.0.0', '::']) {
    origins.learn(address, 'laptop', 5, 0);
    assert.equal(origins.originOf(address, 1), undefined);
  }
});

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

test('the user’s word for an address stands, whoever else knows it', () => {
  const origins = new LearnedOrigins();
  origins.learn('10.0.0.1', 'cluster', 5, 0);
  origins.learn('10.0.0.1', 'laptop', 5, 1, true);
  origins.learn('10.0.0.1', 'cluster', 5, 2);
  assert.equal(origins.originOf('10.0.0.1', 3), 'laptop');
});
