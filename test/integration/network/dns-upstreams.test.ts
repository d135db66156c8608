import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once, setMaxListeners } from 'node:events';
import dnsPacket from 'dns-packet';
import { afterEach, describe, test } from 'vitest';
import { AgentUpstream } from '../../../cli/network/dns/agent-upstream.ts';
import { Gate } from '../../../cli/network/dns/gate.ts';
import { LaptopUpstream, ServersUpstream } from '../../../cli/network/dns/laptop-upstream.ts';
import { parseServer } from '../../../cli/network/dns/servers.ts';
import { Mux, type MuxStream } from '../../../src/mux/mux.ts';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { until } from '../../support/until.ts';
import { NXDOMAIN, startZoneServer, type Zone, type ZoneServer, zoneReply } from '../../support/zone-server.ts';
import { query } from '../../unit/dns/messages.ts';

const live = new AbortController().signal;
setMaxListeners(0, live); // of all questions here; in a session each has its own
const addressZone: Zone = ({ name }) => ({ answers: [{ name, type: 'A', ttl: 30, data: '10.0.0.1' }] });
const closing: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function zoneServer(zone: Zone): Promise<ZoneServer> {
  const server = await startZoneServer(zone);
  closing.push(() => server.close());
  return server;
}

const rcode = (message: Buffer): number => message.readUInt16BE(2) & 15;

describe('questions over a tunnel', () => {
  interface Tunnel {
    readonly session: Mux;
    readonly wire: MemoryTransport;
    readonly streams: MuxStream[];
    readonly asked: Buffer[];
    readonly stream: () => MuxStream;
  }

  /** A tunnel whose agent answers each question by `respond`; without one it says nothing. */
  function tunnel(respond?: (message: Buffer) => Promise<Buffer | undefined>, refuse = false): Tunnel {
    const [sessionEnd, agentEnd] = MemoryTransport.pair();
    const streams: MuxStream[] = [];
    const asked: Buffer[] = [];
    const agent = new Mux(agentEnd, {
      side: 'agent',
      onControl: () => {},
      onOpen: (stream, info) => {
        assert.equal(info.kind, 'dns');
        if (refuse) return stream.refuse('unreachable');
        stream.accept();
        streams.push(stream);
        const reader = new LengthPrefixReader();
        stream.on('end', () => stream.end());
        stream.on('data', (chunk: Buffer) => {
          for (const message of reader.push(chunk)) {
            asked.push(message);
            void respond?.(message).then((bytes) => bytes && stream.write(withLength(bytes)));
          }
        });
      },
    });
    const session = new Mux(sessionEnd, { side: 'session', onControl: () => {}, onOpen: () => {} });
    closing.push(() => Promise.all([session.close(), agent.close()]));
    const stream = (): MuxStream => {
      const last = streams.at(-1);
      assert.ok(last);
      return last;
    };
    return { session, wire: agentEnd, streams, asked, stream };
  }

  const zoneAgent = (message: Buffer): Promise<Buffer | undefined> => zoneReply(addressZone, message);

  test('500 at once share one stream, and answers in any order find their askers', async () => {
    const held: (() => void)[] = [];
    const one = tunnel(async (message) => {
      await new Promise<void>((resolve) => held.push(resolve));
      return await zoneAgent(message);
    });
    const upstream = new AgentUpstream({ tunnel: () => one.session, untilTunnel: async () => {} });
    closing.push(() => upstream.close());
    const waiting = Array.from({ length: 500 }, (_, index) => upstream.ask(query(`n${index}.test`, 'A', 0, 0), live));
    await until(() => held.length === 500, 'all questions');
    for (const release of held.reverse()) release();
    for (const [index, message] of (await Promise.all(waiting)).entries()) {
      assert.equal(dnsPacket.decode(message).questions?.[0]?.name, `n${index}.test`);
    }
    assert.equal(one.streams.length, 1);
    assert.equal(new Set(one.asked.map((message) => message.readUInt16BE(0))).size, 500);
  });

  test('what was under way when a tunnel was lost is asked again over the next one', async () => {
    const [first, second] = [tunnel(), tunnel(zoneAgent)];
    let current: Mux | undefined = first.session;
    let arrive = (): void => {};
    const arrived = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const upstream = new AgentUpstream({ tunnel: () => current, untilTunnel: () => arrived });
    closing.push(() => upstream.close());
    const waiting = Promise.all([1, 2, 3].map((number) => upstream.ask(query(`n${number}.test`), live)));
    await until(() => first.asked.length === 3, 'the questions');
    first.wire.breakWire();
    await first.session.closed;
    current = undefined;
    setImmediate(() => {
      current = second.session;
      arrive();
    });
    assert.equal((await waiting).length, 3);
    assert.equal(second.asked.length, 3);
  });

  test('where the tunnel is another, the old stream ends when it has answered', async () => {
    const held: (() => void)[] = [];
    const first = tunnel(async (message) => {
      await new Promise<void>((resolve) => held.push(resolve));
      return await zoneAgent(message);
    });
    const second = tunnel(zoneAgent);
    let current = first.session;
    const upstream = new AgentUpstream({ tunnel: () => current, untilTunnel: async () => {} });
    closing.push(() => upstream.close());
    const early = upstream.ask(query('early.test'), live);
    await until(() => held.length === 1, 'the question');
    current = second.session;
    await upstream.ask(query('late.test'), live);
    held[0]?.();
    assert.equal(rcode(await early), 0);
    await until(() => first.session.stats().openStreams === 0, 'the old stream');
  });

  test('without a tunnel a question fails after the wait', async () => {
    const upstream = new AgentUpstream({
      tunnel: () => undefined,
      untilTunnel: (signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
      tunnelWaitMs: 30,
    });
    await assert.rejects(upstream.ask(query('a.test'), live), /no tunnel/);
  });

  test('an agent that refuses the stream is not asked again and again', async () => {
    const one = tunnel(undefined, true);
    const upstream = new AgentUpstream({ tunnel: () => one.session, untilTunnel: async () => {} });
    await assert.rejects(upstream.ask(query('a.test'), live), { code: 'EHOSTUNREACH' });
  });

  test('an asker that leaves is forgotten, and an answer that nobody waits for is dropped', async () => {
    const one = tunnel();
    const upstream = new AgentUpstream({ tunnel: () => one.session, untilTunnel: async () => {} });
    closing.push(() => upstream.close());
    const leave = new AbortController();
    const waiting = upstream.ask(query('a.test'), leave.signal);
    await until(() => one.asked.length === 1, 'the question');
    leave.abort(new Error('left'));
    await assert.rejects(waiting, /left/);
    const [late] = one.asked;
    for (const message of [late ?? Buffer.alloc(0), Buffer.alloc(3), Buffer.alloc(0)])
      one.stream().write(withLength(message));
    const next = upstream.ask(query('b.test'), live);
    await until(() => one.asked.length === 2, 'the next question');
    one.stream().write(withLength((await zoneAgent(one.asked[1] ?? Buffer.alloc(0))) ?? Buffer.alloc(0)));
    assert.equal(rcode(await next), 0);
  });
});

describe('servers by their addresses', () => {
  test('an answer too large for UDP is fetched over TCP', async () => {
    const server = await zoneServer(({ name }) => ({
      answers: Array.from({ length: 80 }, (_, index) => ({ name, type: 'A', ttl: 30, data: `10.0.0.${index}` })),
    }));
    const told = await new ServersUpstream([server]).ask(query('large.test'), live);
    assert.equal(dnsPacket.decode(told).answers?.length, 80);
    assert.deepEqual(server.asked, ['A large.test udp', 'A large.test tcp']);
  });

  test('a server that fails, or where nobody listens, makes room for the next', async () => {
    const failing = await zoneServer(() => ({ rcode: 2 }));
    const good = await zoneServer(addressZone);
    const dead = createSocket('udp4').bind(0, '127.0.0.1');
    await once(dead, 'listening');
    const { port } = dead.address();
    await new Promise<void>((resolve) => dead.close(resolve));
    const told = await new ServersUpstream([{ host: '127.0.0.1', port }, failing, good]).ask(query('a.test'), live);
    assert.equal(rcode(told), 0);
    assert.equal(rcode(await new ServersUpstream([failing]).ask(query('a.test'), live)), 2);
  });

  test('a "no" is an answer: the next server is not asked', async () => {
    const [first, second] = [await zoneServer(() => NXDOMAIN), await zoneServer(addressZone)];
    assert.equal(rcode(await new ServersUpstream([first, second]).ask(query('a.test'), live)), 3);
    assert.deepEqual(second.asked, []);
  });

  test('forged datagrams are not taken: another id, another question, no answer at all', async () => {
    const liar = createSocket('udp4');
    liar.on('message', (message, from) => {
      const forge = (bytes: Buffer): void => liar.send(bytes, from.port, from.address);
      void (async () => {
        const reply = (await zoneReply(addressZone, message)) ?? Buffer.alloc(0);
        const otherId = Buffer.from(reply);
        otherId.writeUInt16BE((reply.readUInt16BE(0) + 1) & 0xffff, 0);
        const otherName = Buffer.from(reply);
        otherName[13] = 'z'.charCodeAt(0);
        for (const bytes of [Buffer.from('x'), otherId, otherName, message]) forge(bytes);
        forge((await zoneReply(() => NXDOMAIN, message)) ?? Buffer.alloc(0)); // the true one
      })();
    });
    liar.bind(0, '127.0.0.1');
    await once(liar, 'listening');
    closing.push(() => new Promise<void>((resolve) => liar.close(resolve)));
    const told = await new ServersUpstream([{ host: '127.0.0.1', port: liar.address().port }]).ask(
      query('a.test'),
      live,
    );
    assert.equal(rcode(told), 3);
  });

  test('without any answer the asker is told so, at its own time too', async () => {
    const deaf = await zoneServer(() => undefined);
    await assert.rejects(new ServersUpstream([]).ask(query('a.test'), live), /no DNS server/);
    await assert.rejects(new ServersUpstream([deaf]).ask(query('a.test'), AbortSignal.timeout(20)), {
      name: 'TimeoutError',
    });
  });

  test('addresses of servers are read in every spelling Node and resolv.conf have', () => {
    assert.deepEqual(parseServer('1.1.1.1'), { host: '1.1.1.1', port: 53 });
    assert.deepEqual(parseServer('1.1.1.1:5353'), { host: '1.1.1.1', port: 5353 });
    assert.deepEqual(parseServer('2001:db8::1'), { host: '2001:db8::1', port: 53 });
    assert.deepEqual(parseServer('[2001:db8::1]:5353'), { host: '2001:db8::1', port: 5353 });
    assert.deepEqual(parseServer('fe80::1%eth0'), { host: 'fe80::1%eth0', port: 53 });
    for (const bad of ['', 'dns.example', '1.1.1.1:0', '1.1.1.1:99999', '[1', ':53']) {
      assert.equal(parseServer(bad), undefined, bad);
    }
  });
});

describe('the laptop’s own resolver', () => {
  const laptop = new LaptopUpstream(new ServersUpstream([])); // no raw question may go out
  const ask = async (name: string, type: dnsPacket.RecordType = 'A'): Promise<dnsPacket.Packet> =>
    dnsPacket.decode(await laptop.ask(query(name, type), live));

  test('addresses come from the hosts file, each family its own', async () => {
    const told = await ask('localhost');
    assert.deepEqual(told.answers, [
      { name: 'localhost', type: 'A', class: 'IN', ttl: 10, flush: false, data: '127.0.0.1' },
    ]);
  });

  test('a name of an address comes from the hosts file', async () => {
    const [record] = (await ask('1.0.0.127.in-addr.arpa', 'PTR')).answers ?? [];
    assert.ok(record?.type === 'PTR');
    assert.match(record.data, /localhost/);
  });

  test('what getaddrinfo would take for an address is a name that does not exist', async () => {
    for (const name of ['10.1', '1.2.3.4', '0x7f.1', '0x7f000001', '12345']) {
      const told = await ask(name);
      assert.deepEqual([(told.flags ?? 0) & 15, told.answers], [3, []], name);
    }
  });

  test('other types, and names that are no text, go to the servers as they are', async () => {
    const server = await zoneServer(() => NXDOMAIN);
    const both = new LaptopUpstream(new ServersUpstream([server]));
    await both.ask(query('corp.example', 'MX'), live);
    await both.ask(query('sp ace.example'), live);
    await both.ask(query('168.192.in-addr.arpa', 'PTR'), live);
    assert.deepEqual(server.asked, ['MX corp.example udp', 'A sp ace.example udp', 'PTR 168.192.in-addr.arpa udp']);
  });
});

test('a gate lets so many in, the others in their order, and those that leave the line are gone', async () => {
  const gate = new Gate(2);
  const [order, releases] = [[] as number[], [] as (() => void)[]];
  const leave = new AbortController();
  const enter = (number: number, signal = live): Promise<void> =>
    gate.run(signal, async () => {
      order.push(number);
      await new Promise<void>((resolve) => releases.push(resolve));
    });
  const all = [enter(1), enter(2), enter(3, leave.signal), enter(4)];
  await until(() => releases.length === 2, 'two inside');
  leave.abort(new Error('left'));
  await assert.rejects(all[2] ?? Promise.resolve(), /left/);
  releases[0]?.();
  await until(() => order.length === 3, 'the next');
  const late = enter(5);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(order, [1, 2, 4]); // the place of the first one went to the fourth: there is none for the fifth
  for (const release of releases.splice(0)) release();
  await until(() => releases.length === 1, 'the last');
  releases[0]?.();
  await Promise.all([all[0], all[1], all[3], late]);
});
