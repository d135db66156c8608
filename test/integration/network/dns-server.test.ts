import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import dns from 'node:dns';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { promisify } from 'node:util';
import dnsPacket from 'dns-packet';
import { afterEach, beforeEach, test } from 'vitest';
import { ServersUpstream } from '../../../cli/network/dns/laptop-upstream.ts';
import { PodResolver } from '../../../cli/network/dns/resolver.ts';
import { DnsServer } from '../../../cli/network/dns/server.ts';
import { silentLog } from '../../../src/log.ts';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import { until } from '../../support/until.ts';
import { NXDOMAIN, startZoneServer, type Zone, type ZoneServer } from '../../support/zone-server.ts';
import { query } from '../../unit/dns/messages.ts';

const run = promisify(execFile);
const MANY = Array.from({ length: 80 }, (_, index) => `10.244.0.${index}`);
/** All in this process: one alone could not read 500 answers before its socket's buffer is full. */
const CLIENTS = 5;
const HELD = 'held.svc.cluster.local';

const zone: Zone = async ({ name, type }) => {
  if (name === HELD) {
    await new Promise<void>((resolve) => releases.push(resolve));
    return { answers: [{ name, type: 'A', ttl: 30, data: '10.96.0.1' }] };
  }
  if (name === 'large.svc.cluster.local') {
    return { answers: MANY.map((data) => ({ name, type: 'A', ttl: 30, data })) };
  }
  if (name === '_pg._tcp.db.svc.cluster.local' && type === 'SRV') {
    return {
      answers: [{ name, type, ttl: 30, data: { target: 'db.svc.cluster.local', port: 5432, weight: 1, priority: 2 } }],
    };
  }
  const number = /^n(\d+)\.svc\.cluster\.local$/i.exec(name)?.[1];
  if (number === undefined) return NXDOMAIN;
  if (type !== 'A') return { authorities: NXDOMAIN.authorities ?? [] };
  return { answers: [{ name, type: 'A', ttl: 30, data: `10.96.${Number(number) >> 8}.${Number(number) & 255}` }] };
};

let releases: (() => void)[] = [];
let upstream: ZoneServer;
let resolver: PodResolver;
let server: DnsServer;
let port: number;
let clients: dns.promises.Resolver[];
let client: dns.promises.Resolver;

beforeEach(async () => {
  releases = [];
  upstream = await startZoneServer(zone);
  const asking = new ServersUpstream([upstream]);
  resolver = new PodResolver({
    search: ['svc.cluster.local'],
    ndots: 5,
    cluster: asking,
    laptop: asking,
    laptopSuffixes: [],
    clusterSuffixes: [],
    inClusterRange: () => false,
    log: silentLog,
  });
  server = new DnsServer({ resolver, limits: { maxConnections: 4, maxConnectionInFlight: 8, idleTimeoutMs: 1_000 } });
  port = await server.listen('127.0.0.1', 0);
  clients = Array.from({ length: CLIENTS }, () => new dns.promises.Resolver({ timeout: 5_000, tries: 1 }));
  for (const each of clients) each.setServers([`127.0.0.1:${port}`]);
  client = clientAt(0);
});

afterEach(async () => {
  for (const release of releases) release();
  for (const each of clients) each.cancel();
  resolver.close();
  await server.close();
  await upstream.close();
  assert.deepEqual(server.stats(), { udpInFlight: 0, connections: 0 });
  assert.equal(resolver.stats().inFlight, 0);
});

function clientAt(index: number): dns.promises.Resolver {
  const found = clients[index % CLIENTS];
  assert.ok(found);
  return found;
}

async function overUdp(message: Uint8Array): Promise<Buffer> {
  const socket = createSocket('udp4');
  const [reply] = await new Promise<[Buffer]>((resolve) => {
    socket.once('message', (answer) => resolve([answer]));
    socket.send(message, port, '127.0.0.1');
  });
  socket.close();
  return reply;
}

function tcpClient(to = port): { socket: Socket; replies: Buffer[] } {
  const socket = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true });
  const [reader, replies] = [new LengthPrefixReader(), [] as Buffer[]];
  socket.on('error', () => {}); // tests look at 'close'
  socket.on('data', (chunk: Buffer) => replies.push(...reader.push(chunk)));
  return { socket, replies };
}

test('500 different names at once are all answered, each with its own address', async () => {
  const names = Array.from({ length: 500 }, (_, index) => index);
  const told = await Promise.all(names.map((index) => clientAt(index).resolve4(`n${index}.svc.cluster.local`)));
  assert.deepEqual(
    told,
    names.map((index) => [`10.96.${index >> 8}.${index & 255}`]),
  );
  assert.equal(upstream.asked.length, 500);
});

test('500 times the same name at once is one question', async () => {
  const told = await Promise.all(
    Array.from({ length: 500 }, (_, index) => clientAt(index).resolve4('n7.svc.cluster.local')),
  );
  assert.ok(told.every(([address]) => address === '10.96.0.7'));
  assert.equal(upstream.asked.length, 1);
});

test('a large answer is cut over UDP and whole over TCP; a client that falls back gets it whole', async () => {
  const cut = await overUdp(query('large.svc.cluster.local'));
  assert.ok(cut.length <= 512);
  assert.equal(dnsPacket.decode(cut).flag_tc, true);
  const wide = await overUdp(query('large.svc.cluster.local', 'A', 65_000));
  assert.equal(dnsPacket.decode(wide).answers?.length, MANY.length);
  assert.deepEqual((await client.resolve4('large.svc.cluster.local')).sort(), [...MANY].sort());
});

test('SRV, TXT and other types pass, and a name nobody has does not exist', async () => {
  const [record] = await client.resolveSrv('_pg._tcp.db.svc.cluster.local');
  assert.equal(record?.port, 5432);
  await assert.rejects(client.resolve4('nowhere.svc.cluster.local'), { code: 'ENOTFOUND' });
  await assert.rejects(client.resolve6('n1.svc.cluster.local'), { code: 'ENODATA' });
});

test('over TCP answers come as they are known, not in the order of the questions', async () => {
  const { socket, replies } = tcpClient();
  socket.write(
    Buffer.concat([withLength(query(HELD, 'A', 0, 1)), withLength(query('n2.svc.cluster.local', 'A', 0, 2))]),
  );
  await until(() => replies.length === 1 && releases.length === 1, 'the second answer');
  assert.equal(replies[0]?.readUInt16BE(0), 2);
  socket.end(); // no more questions; the first one is still to be answered
  for (const release of releases) release();
  await once(socket, 'close');
  assert.deepEqual(
    replies.map((reply) => reply.readUInt16BE(0)),
    [2, 1],
  );
});

test('questions cut at any byte are read', async () => {
  const { socket, replies } = tcpClient();
  for (const byte of withLength(query('n3.svc.cluster.local'))) {
    socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => replies.length === 1, 'the answer');
  socket.destroy();
});

test('a connection with too many questions under way is not read until some are answered', async () => {
  const held: (() => void)[] = [];
  const slow = new DnsServer({
    resolver: {
      answer: async (message, via) => {
        await new Promise<void>((resolve) => held.push(resolve));
        return await resolver.answer(message, via);
      },
    },
    limits: { maxConnectionInFlight: 8 },
  });
  const { socket, replies } = tcpClient(await slow.listen('127.0.0.1', 0));
  const questions = Array.from({ length: 20_000 }, (_, id) => withLength(query('n1.svc.cluster.local', 'A', 0, id)));
  socket.write(Buffer.concat(questions)); // 800 KiB
  let mostHeld = 0;
  await until(() => {
    mostHeld = Math.max(mostHeld, held.length);
    for (const release of held.splice(0)) release();
    return replies.length === questions.length;
  }, 'all answers');
  assert.ok(mostHeld < 4000, String(mostHeld)); // what one read brings, 64 KiB
  socket.destroy();
  await slow.close();
});

test('idle connections are closed, and those over the limit at once', async () => {
  const clients = Array.from({ length: 5 }, () => tcpClient());
  await Promise.any(clients.map(({ socket }) => once(socket, 'end')));
  assert.equal(clients.filter(({ socket }) => socket.readableEnded).length, 1);
  await Promise.all(clients.map(({ socket }) => (socket.readableEnded ? undefined : once(socket, 'end'))));
  for (const { socket } of clients) socket.destroy();
  assert.deepEqual(await client.resolve4('n1.svc.cluster.local'), ['10.96.0.1']);
});

test('garbage over UDP and TCP harms nobody, and no answer is answered', async () => {
  const socket = createSocket('udp4');
  const got: Buffer[] = [];
  socket.on('message', (message) => got.push(message));
  const reply = query('n1.svc.cluster.local');
  reply.writeUInt16BE(0x8180, 2);
  socket.send(reply, port, '127.0.0.1');
  for (let times = 0; times < 300; times++) {
    const bytes = randomBytes(times);
    if (times > 2) bytes[2] = (bytes[2] ?? 0) | 0x80; // answers, all of them
    socket.send(bytes, port, '127.0.0.1');
  }
  const clients = Array.from({ length: 3 }, () => tcpClient());
  for (const { socket: garbling } of clients) garbling.write(randomBytes(5000));
  await Promise.all(clients.map(({ socket: garbling }) => once(garbling, 'end')));
  for (const { socket: garbling } of clients) garbling.destroy();
  assert.deepEqual(await client.resolve4('n1.svc.cluster.local'), ['10.96.0.1']);
  assert.deepEqual(got, []);
  socket.close();
});

test('names over 253 bytes and labels over 63 are FORMERR', async () => {
  const label = (length: number): Buffer => Buffer.concat([Buffer.from([length]), Buffer.alloc(length, 'a')]);
  const head = query('x').subarray(0, 12);
  const tail = Buffer.from([0, 0, 1, 0, 1]);
  for (const labels of [[63, 63, 63, 62], [64], [200], [255]]) {
    const told = await overUdp(Buffer.concat([head, ...labels.map(label), tail]));
    assert.equal(told.readUInt16BE(2) & 15, 1, String(labels));
  }
  const longest = await overUdp(Buffer.concat([head, ...[63, 63, 63, 61].map(label), tail]));
  assert.equal(longest.readUInt16BE(2) & 15, 3);
});

test('a question that makes the resolver fail is SERVFAIL, and the server goes on', async () => {
  const failing = new DnsServer({ resolver: { answer: () => Promise.reject(new Error('a bug')) } });
  port = await failing.listen('127.0.0.1', 0);
  for (let times = 0; times < 2; times++) {
    const told = await overUdp(query('a.test', 'A', 0, 77));
    assert.deepEqual([told.readUInt16BE(0), told.readUInt16BE(2) & 15], [77, 2]);
  }
  await failing.close();
});

test('sockets that somebody else opened are served as well, and closed at the end', async () => {
  const tcp = createServer();
  tcp.listen(0, '127.0.0.1');
  const udp = createSocket('udp4');
  udp.bind(0, '127.0.0.1');
  await Promise.all([once(tcp, 'listening'), once(udp, 'listening')]);
  const other = new DnsServer({ resolver });
  other.serve({ udp: [udp], tcp: [tcp] });
  client.setServers([`127.0.0.1:${udp.address().port}`]);
  assert.deepEqual(await client.resolve4('n1.svc.cluster.local'), ['10.96.0.1']);
  const { port: tcpPort } = tcp.address() as AddressInfo;
  const { socket, replies } = tcpClient(tcpPort);
  socket.end(withLength(query(HELD))); // ends behind its question, at a server that is not told to keep such ones
  await until(() => releases.length === 1, 'the question');
  for (const release of releases) release();
  await once(socket, 'close');
  assert.equal(replies.length, 1);
  await other.close();
  assert.equal(tcp.listening, false);
});

test.runIf(existsSync('/usr/bin/dig'))('dig is content: UDP, TCP, EDNS, a cookie, a large answer, SRV', async () => {
  const dig = async (...args: string[]): Promise<string> => {
    const { stdout } = await run('dig', ['@127.0.0.1', '-p', String(port), '+tries=1', '+time=3', ...args]);
    assert.doesNotMatch(stdout, /;; Warning|malformed|mismatch|extra bytes/);
    return stdout;
  };
  assert.match(await dig('n1.svc.cluster.local'), /status: NOERROR[\s\S]*EDNS: version: 0[\s\S]*10\.96\.0\.1/);
  assert.match(await dig('+noedns', '+tcp', 'n1.svc.cluster.local'), /10\.96\.0\.1/);
  assert.equal((await dig('large.svc.cluster.local')).match(/\tA\t10\.244/g)?.length, MANY.length);
  assert.equal((await dig('+short', '+tcp', 'large.svc.cluster.local')).trim().split('\n').length, MANY.length);
  assert.match(await dig('SRV', '_pg._tcp.db.svc.cluster.local'), /2 1 5432 db\.svc\.cluster\.local/);
  assert.match(await dig('nowhere.svc.cluster.local'), /status: NXDOMAIN[\s\S]*SOA/);
  assert.match(await dig('+edns=1', '+noednsneg', 'n1.svc.cluster.local'), /BADVERS/);
  assert.match(await dig('CH', 'TXT', 'version.bind'), /NOTIMP/);
  assert.match(await dig('-x', '127.0.0.1'), /NXDOMAIN/);
});
