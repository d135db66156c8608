import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'vitest';
import { CopiesToProcess } from '../../../cli/session/copies-to-process.ts';
import { dialAddress } from '../../../cli/session/dial.ts';
import { Mux } from '../../../src/mux/mux.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { until } from '../../support/until.ts';

const INFO = { kind: 'incoming', port: 8080, host: '10.0.0.1' } as const;

let agent: Mux;
let session: Mux;
let copies: CopiesToProcess;
let away = 0;
const sockets: Socket[] = [];
const received: string[] = [];
const listener = createServer({ allowHalfOpen: true });
listener.on('connection', (socket) => {
  sockets.push(socket.on('error', () => {}));
  socket.setEncoding('latin1').on('data', (text: string) => received.push(text));
});

beforeEach(async () => {
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  away = 0;
  received.length = 0;
  copies = new CopiesToProcess({ dial: dialAddress({ host: '127.0.0.1', port }), onAway: () => away++ });
  const [a, b] = MemoryTransport.pair();
  agent = new Mux(a, { side: 'agent', onOpen: () => {}, onControl: () => {} });
  session = new Mux(b, { side: 'session', onOpen: (stream) => copies.take(stream), onControl: () => {} });
});
afterEach(async () => {
  await copies.close();
  await Promise.all([agent.close(), session.close()]);
  for (const socket of sockets.splice(0)) socket.destroy();
  listener.close();
});

test('a copy reaches the process whole, its end does not, and nothing that the process answers comes back', async () => {
  const stream = agent.open(INFO);
  const back: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => back.push(chunk));
  stream.end('POST / HTTP/1.1\r\n\r\nall of it');
  await until(() => received.join('') === 'POST / HTTP/1.1\r\n\r\nall of it', 'the whole copy came');
  const [socket] = sockets;
  assert.ok(socket !== undefined);
  let ended = false;
  socket.once('end', () => {
    ended = true;
  });
  socket.write('HTTP/1.1 200 OK\r\n\r\n');
  socket.end('x'.repeat(2_000_000)); // more than any window: it is drained here
  await once(socket, 'finish');
  assert.deepEqual([back.length, ended], [0, false]);
});

test('where the process does not listen the copy is reset, and the agents are told', async () => {
  listener.close();
  await once(listener, 'close');
  const stream = agent.open(INFO);
  await assert.rejects(stream.opened, { code: 'ECONNREFUSED' });
  assert.equal(away, 1);
});

test('a copy that is cut short ends the connection to the process, and a process that hangs up ends the copy', async () => {
  const cut = agent.open(INFO);
  cut.write('half');
  await until(() => received.includes('half'), 'half came');
  cut.resetAndDestroy();
  await until(() => copies.openConnections === 0, 'the connection ended');

  const stream = agent.open(INFO);
  stream.write('more');
  await until(() => received.includes('more'), 'more came');
  sockets.at(-1)?.destroy(); // reads nothing any more, and says so
  await until(() => stream.destroyed, 'the copy ended');
  assert.equal(copies.openConnections, 0);
});
