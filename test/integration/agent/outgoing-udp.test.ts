import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'vitest';
import type { MuxStream } from '../../../src/mux/mux.ts';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import { type AgentWorld, startWorld } from './support/agent-world.ts';
import { until } from './support/tcp.ts';

interface Flow {
  readonly world: AgentWorld;
  readonly stream: MuxStream;
  readonly received: Buffer[];
  send(datagram: Buffer | string): void;
}

async function startUdpServer(onMessage: (socket: Socket, message: Buffer, port: number) => void): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.on('message', (message, { port }) => onMessage(socket, message, port));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

const echo = (socket: Socket, message: Buffer, port: number): void => socket.send(message, port, '127.0.0.1');

async function startFlow(port: number, host = '127.0.0.1', udpIdleMs?: number): Promise<Flow> {
  const world = await startWorld(undefined, { outgoing: { udpIdleMs } });
  const session = await world.dial();
  const stream = session.mux.open({ kind: 'udp', host, port });
  const received: Buffer[] = [];
  const reader = new LengthPrefixReader();
  stream.on('data', (chunk: Buffer) => received.push(...reader.push(chunk)));
  return { world, stream, received, send: (datagram) => void stream.write(withLength(Buffer.from(datagram))) };
}

test('datagrams of every size, an empty one too, come back as they were', async () => {
  const server = await startUdpServer(echo);
  const flow = await startFlow(server.address().port);
  const sizes = [0, 1, 512, 1500, 9000, 65_507];
  for (const size of sizes) {
    flow.send(Buffer.alloc(size, size % 251));
    await until(() => flow.received.length > sizes.indexOf(size), `${size} bytes come back`);
  }
  assert.deepEqual(
    flow.received.map((datagram) => [datagram.byteLength, datagram[0]]),
    sizes.map((size) => [size, size === 0 ? undefined : size % 251]),
  );
  flow.stream.destroy();
  await flow.world.close();
  server.close();
});

test('one that is too long for a datagram is lost, and the flow goes on', async () => {
  const server = await startUdpServer(echo);
  const flow = await startFlow(server.address().port);
  flow.send(Buffer.alloc(65_520));
  flow.send('after');
  await until(() => flow.received.length === 1, 'the next comes back');
  assert.equal(String(flow.received[0]), 'after');
  flow.stream.destroy();
  await flow.world.close();
  server.close();
});

test('a port where nobody listens resets the stream with refused', async () => {
  const server = await startUdpServer(echo);
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  const flow = await startFlow(port);
  await flow.stream.opened;
  flow.send('x');
  await until(() => flow.stream.destroyed, 'it is reset');
  assert.equal(flow.stream.resetReason, 'refused');
  await flow.world.close();
});

test('a name that nobody knows and a network without a way there are told before the stream is opened', async () => {
  for (const [host, reason] of [
    ['', 'not-found'],
    ['a..b', 'not-found'],
    ['255.255.255.255', 'unreachable'], // EACCES: broadcast
  ] as const) {
    const flow = await startFlow(9, host);
    await assert.rejects(flow.stream.opened);
    assert.equal(flow.stream.resetReason, reason, host);
    await flow.world.close();
  }
});

test('only the peer is heard', async () => {
  let agentPort = 0;
  const server = await startUdpServer((_, __, port) => {
    agentPort = port;
  });
  const flow = await startFlow(server.address().port);
  flow.send('hello');
  await until(() => agentPort > 0, 'the server knows the port');
  const stranger = createSocket('udp4');
  await new Promise<void>((resolve) => stranger.send('forged', agentPort, '127.0.0.1', () => resolve()));
  server.send('real', agentPort, '127.0.0.1');
  await until(() => flow.received.length > 0, 'the peer is heard');
  assert.deepEqual(flow.received.map(String), ['real']);
  stranger.close();
  flow.stream.destroy();
  await flow.world.close();
  server.close();
});

test('silence for long ends the stream, later where there was an answer', async () => {
  const server = await startUdpServer((socket, message, port) => {
    if (message.includes('answer')) echo(socket, message, port);
  });
  const { port } = server.address();
  const silent = await startFlow(port, '127.0.0.1', 150);
  silent.send('nothing');
  const answered = await startFlow(port, '127.0.0.1', 150);
  answered.send('answer me');
  await until(() => silent.stream.destroyed, 'the first is reset');
  assert.equal(silent.stream.resetReason, 'timeout');
  assert.equal(answered.stream.destroyed, false);
  await until(() => answered.stream.destroyed, 'the second is reset');
  assert.equal(answered.stream.resetReason, 'timeout');
  await Promise.all([silent.world.close(), answered.world.close()]);
  server.close();
});

test('a flow whose session has ended still hears answers, and ends well', async () => {
  const server = await startUdpServer((socket, message, port) => {
    setImmediate(() => echo(socket, message, port));
  });
  const flow = await startFlow(server.address().port, '127.0.0.1', 100);
  flow.send('last');
  flow.stream.end();
  await once(flow.stream, 'end');
  assert.deepEqual(flow.received.map(String), ['last']);
  await until(() => flow.stream.destroyed, 'it is over');
  assert.equal(flow.stream.resetReason, undefined);
  await flow.world.close();
  server.close();
});

test('a session that does not read loses datagrams, and the agent does not keep them', async () => {
  const answer = Buffer.alloc(8_000, 'x');
  let heard = 0;
  const server = await startUdpServer((socket, _message, port) => {
    heard += 1;
    socket.send(answer, port, '127.0.0.1');
  });
  const flow = await startFlow(server.address().port);
  flow.stream.pause();
  for (let count = 1; count <= 300; count += 1) {
    flow.send('more'); // one by one: what the kernel drops proves nothing
    await until(() => heard === count, 'the server has heard it');
  }
  flow.stream.resume();
  await until(() => flow.received.length > 0, 'what found room comes');
  flow.send('again');
  await until(() => heard === 301, 'the server has heard it');
  const bytes = 256 * 1024 + 64 * 1024; // the window, and what is written ahead of it
  await until(() => flow.received.length * 8_002 > bytes - 8_002, 'all that found room comes');
  assert.ok(flow.received.length * 8_002 < bytes + 10 * 8_002, `${flow.received.length} of 300`);
  assert.ok(
    flow.received.every((datagram) => datagram.equals(answer)),
    'whole datagrams only',
  );
  flow.stream.destroy();
  await flow.world.close();
  server.close();
});

test('the end of a tunnel closes its sockets', async () => {
  const server = await startUdpServer(echo);
  const flow = await startFlow(server.address().port);
  flow.send('x');
  await until(() => flow.received.length === 1, 'it is up');
  assert.equal(flow.world.agent.stats().outgoing, 1);
  flow.stream.destroy();
  await until(() => flow.world.agent.stats().outgoing === 0, 'it is gone');
  await flow.world.close();
  server.close();
});
