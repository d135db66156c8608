import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'vitest';
import { dialAddress } from '../../../cli/session/dial.ts';
import { ToProcess } from '../../../cli/session/to-process.ts';
import { silentLog } from '../../../src/log.ts';
import { Mux } from '../../../src/mux/mux.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { until } from '../../support/until.ts';

const MANY = 20;

let agent: Mux;
let session: Mux;
let toProcess: ToProcess;
const listener = createServer({ allowHalfOpen: true });
const sockets: Socket[] = [];
listener.on('connection', (socket) => {
  sockets.push(socket.on('error', () => {}));
  socket.pipe(socket);
});

beforeEach(async () => {
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  toProcess = new ToProcess({
    dial: dialAddress({ host: '127.0.0.1', port }),
    log: silentLog,
    waitsUntilMs: (cameMs) => cameMs,
    onAway: () => {},
  });
  const [a, b] = MemoryTransport.pair();
  agent = new Mux(a, { side: 'agent', onOpen: () => {}, onControl: () => {} });
  session = new Mux(b, { side: 'session', onOpen: (stream) => toProcess.take(stream), onControl: () => {} });
});
afterEach(async () => {
  await toProcess.close();
  await Promise.all([agent.close(), session.close()]);
  for (const socket of sockets.splice(0)) socket.destroy();
  if (listener.listening) await new Promise((resolve) => listener.close(resolve));
});

test('connections that are open together share no signal, and the end resets them all', async () => {
  const warnings: string[] = [];
  const onWarning = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', onWarning);
  const streams = Array.from({ length: MANY }, () => agent.open({ kind: 'incoming', port: 1, host: '' }));
  await Promise.all(streams.map((stream) => stream.opened));
  await until(() => toProcess.openConnections === MANY, 'all are open');
  const failed = streams.map((stream) => once(stream.resume(), 'error'));
  await toProcess.close();
  for (const [error] of await Promise.all(failed)) assert.equal(error.code, 'ECONNRESET');
  assert.equal(toProcess.openConnections, 0);
  process.off('warning', onWarning);
  assert.deepEqual(warnings, []); // MaxListenersExceededWarning
});

test('a process that has never listened leaves its caller to the app at once', async () => {
  await new Promise((resolve) => listener.close(resolve));
  const stream = agent.open({ kind: 'incoming', port: 1, host: '' });
  await assert.rejects(stream.opened, /refused/);
});
