import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'vitest';
import type { MuxStream } from '../../../src/mux/mux.ts';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import { type AgentWorld, startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { acceptWith, refusalOf, refuseAll, type SessionDouble } from './support/session-double.ts';
import { until } from './support/tcp.ts';

const NONCE = 'abcdefghijklmnopqrstuv';

interface UdpWorld extends AgentWorld {
  readonly udpPort: number;
  readonly appSocket: Socket;
  /** Leaves the app's socket alone. */
  closeAgent(): Promise<void>;
}

/** An agent with a UDP route to an app that answers `app:<what it got>`. */
async function startUdpWorld(options: Parameters<typeof startWorld>[1] = {}): Promise<UdpWorld> {
  const appSocket = createSocket('udp4');
  appSocket.bind(0, '127.0.0.1');
  await once(appSocket, 'listening');
  appSocket.on('message', (datagram, from) => appSocket.send(`app:${datagram}`, from.port, from.address));
  const { port } = appSocket.address();
  const world = await startWorld(undefined, { ...options, moreRoutes: [{ port: 0, appPort: port, protocol: 'udp' }] });
  return {
    ...world,
    udpPort: world.agent.routePort(port, 'udp'),
    appSocket,
    closeAgent: () => world.close(),
    close: async () => {
      await world.close();
      appSocket.close();
    },
  };
}

class Client {
  readonly socket = createSocket('udp4');
  readonly answers: string[] = [];
  readonly port: number;

  constructor(port: number) {
    this.port = port;
    this.socket.on('message', (datagram) => this.answers.push(datagram.toString()));
  }

  send(text: string | Buffer): void {
    this.socket.send(text, this.port, '127.0.0.1');
  }

  async ask(text: string): Promise<string> {
    const before = this.answers.length;
    this.send(text);
    await until(() => this.answers.length > before, `an answer to ${text}`);
    return this.answers.at(-1) ?? '';
  }
}

/** A process that answers each datagram with its name in front. */
function echo(name: string): (stream: MuxStream) => void {
  return acceptWith((stream) => {
    const reader = new LengthPrefixReader();
    stream.on('data', (chunk: Buffer) => {
      for (const datagram of reader.push(chunk)) stream.write(withLength(Buffer.from(`${name}:${datagram}`)));
    });
  });
}

async function claimUdp(world: UdpWorld, session: SessionDouble, to: 'laptop' | 'app' = 'laptop'): Promise<void> {
  const { port } = world.appSocket.address();
  await session.request('claim', claimOf([intercept(port, { protocol: 'udp', to })]));
}

test('without a session the app has the datagrams, each client its own answers', async () => {
  const world = await startUdpWorld();
  const clients = [new Client(world.udpPort), new Client(world.udpPort)] as const;
  assert.equal(await clients[0].ask('1'), 'app:1');
  assert.equal(await clients[1].ask('2'), 'app:2');
  assert.equal(await clients[0].ask('3'), 'app:3');
  assert.deepEqual(clients[0].answers, ['app:1', 'app:3']);
  assert.equal(world.agent.stats().flows, 2);
  for (const { socket } of clients) socket.close();
  await world.close();
});

test('a flow follows the route: to the laptop, back to the app, and to the laptop again', async () => {
  const world = await startUdpWorld();
  const client = new Client(world.udpPort);
  const session = await world.dial({ onIncoming: echo('laptop') });
  assert.equal(await client.ask('a'), 'app:a');
  await claimUdp(world, session);
  assert.equal(await client.ask('b'), 'laptop:b');
  const { port } = world.appSocket.address();
  await session.request('route', { appPort: port, protocol: 'udp', to: 'app' });
  assert.equal(await client.ask('c'), 'app:c');
  await session.request('route', { appPort: port, protocol: 'udp', to: 'laptop' });
  assert.equal(await client.ask('d'), 'laptop:d');
  assert.deepEqual(session.incoming[0], { kind: 'datagrams', port, host: '127.0.0.1' });
  await session.request('release', {});
  assert.equal(await client.ask('e'), 'app:e');
  client.socket.close();
  await world.close();
});

test('what was sent to a laptop that does not take it reaches the app, and is not tried again with each datagram', async () => {
  const world = await startUdpWorld();
  const session = await world.dial({ onIncoming: refuseAll });
  await claimUdp(world, session);
  const client = new Client(world.udpPort);
  for (const text of ['a', 'b', 'c']) assert.equal(await client.ask(text), `app:${text}`);
  assert.equal(session.streams.length, 1);
  client.socket.close();
  await world.close();
});

test('a lost tunnel leaves the flow to the app', async () => {
  const world = await startUdpWorld();
  const session = await world.dial({ onIncoming: echo('laptop') });
  await claimUdp(world, session);
  const client = new Client(world.udpPort);
  assert.equal(await client.ask('a'), 'laptop:a');
  session.cut();
  await until(() => world.agent.stats().sessions === 0, 'the agent knows');
  assert.equal(await client.ask('b'), 'app:b');
  client.socket.close();
  await world.close();
});

test('datagrams of every size pass both ways as they are', async () => {
  const world = await startUdpWorld();
  const session = await world.dial({
    onIncoming: acceptWith((stream) => stream.on('data', (chunk: Buffer) => stream.write(chunk))),
  });
  await claimUdp(world, session);
  const client = new Client(world.udpPort);
  for (const size of [0, 1, 1_472, 9_000, 65_507]) assert.equal((await client.ask('x'.repeat(size))).length, size);
  await session.request('release', {});
  await until(() => session.mux.stats().openStreams === 0, 'its stream is over although nothing more was sent');
  client.socket.close();
  await world.close();
});

test('a client that is silent for long is forgotten, and both its ends are closed', async () => {
  const world = await startUdpWorld({ outgoing: { udpIdleMs: 50 } });
  const session = await world.dial({ onIncoming: echo('laptop') });
  await claimUdp(world, session);
  const client = new Client(world.udpPort);
  assert.equal(await client.ask('a'), 'laptop:a');
  await until(() => world.agent.stats().flows === 0, 'the flow is forgotten');
  await until(() => session.mux.stats().openStreams === 0, 'its stream is over');
  assert.equal(await client.ask('b'), 'laptop:b');
  const [held] = (await session.request('status', {})).intercepts;
  assert.equal(held?.taken, 2);
  client.socket.close();
  await world.close();
});

test('an app that does not listen loses datagrams, and has those that come once it does', async () => {
  const world = await startUdpWorld();
  const { port } = world.appSocket.address();
  await world.appSocket[Symbol.asyncDispose]();
  const client = new Client(world.udpPort);
  client.send('lost');
  await until(() => world.agent.stats().flows === 1, 'it has arrived');
  const again = createSocket('udp4');
  again.on('message', (datagram, from) => again.send(`again:${datagram}`, from.port, from.address));
  again.bind(port, '127.0.0.1');
  await once(again, 'listening');
  const resend = setInterval(() => client.send('x'), 20);
  await until(() => client.answers.includes('again:x'), 'the app has it');
  clearInterval(resend);
  again.close();
  client.socket.close();
  await world.closeAgent();
});

test('datagrams cannot be had by a claim of the TCP port of the same number', async () => {
  const world = await startUdpWorld();
  const session = await world.dial();
  const { port } = world.appSocket.address();
  await assert.rejects(session.request('claim', claimOf([port])), /TARGET_NOT_FOUND/);
  await world.close();
});

test('a proof datagram is answered by the agent, and reaches neither app nor laptop', async () => {
  const world = await startUdpWorld();
  const seen: string[] = [];
  world.appSocket.on('message', (datagram) => seen.push(datagram.toString()));
  const session = await world.dial({ onIncoming: echo('laptop') });
  await claimUdp(world, session);
  const { port } = world.appSocket.address();
  const proof = { nonce: NONCE, protocol: 'udp', host: '127.0.0.1', port: world.udpPort, timeoutMs: 5_000 } as const;
  await session.request('expectProof', { nonce: NONCE, ttlMs: 60_000 });
  assert.deepEqual(await session.request('prove', proof), { pod: 'web-1' });
  assert.deepEqual(session.events, [{ type: 'event', event: 'proved', nonce: NONCE, appPort: port }]);
  assert.equal(world.agent.stats().flows, 0);
  const client = new Client(world.udpPort);
  for (const text of ['kube-intercept proof', `kube-intercept proof ${NONCE}x`])
    assert.equal(await client.ask(text), `laptop:${text}`); // not the one that is expected
  assert.deepEqual(seen, []);
  await session.request('release', {});
  client.socket.close();
  await world.close();
});

test('an app, nobody, or an agent that expects nothing proves no way for datagrams', async () => {
  const world = await startUdpWorld();
  const session = await world.dial({ onIncoming: refuseAll });
  const refused = async (port: number): Promise<string> => {
    const asked = session.request('prove', { nonce: NONCE, protocol: 'udp', host: '127.0.0.1', port, timeoutMs: 300 });
    const { code, message } = await refusalOf(asked);
    assert.equal(code, 'PROOF_FAILED');
    return message;
  };
  const byOther = /was answered by something else than an agent of this workload$/;
  assert.match(await refused(world.appSocket.address().port), byOther);
  assert.match(await refused(world.udpPort), byOther); // the app, through the agent
  assert.match(await refused(1), /: (no answer in time|.*ECONNREFUSED.*)$/);
  await world.close();
});
