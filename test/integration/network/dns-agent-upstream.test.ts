import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import dnsPacket from 'dns-packet';
import { afterEach, describe, test } from 'vitest';
import { AgentUpstream } from '../../../cli/network/dns/agent-upstream.ts';
import { Mux, type MuxStream } from '../../../src/mux/mux.ts';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { until } from '../../support/until.ts';
import { addressZone, zoneReply } from '../../support/zone-server.ts';
import { query } from '../../unit/dns/messages.ts';

const live = new AbortController().signal;
setMaxListeners(0, live); // of all questions here; in a session each has its own
const closing: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

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
