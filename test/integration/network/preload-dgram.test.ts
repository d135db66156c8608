import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { test } from 'vitest';
import type { Answer, ControlLine } from '../../../cli/network/proxy/preload/control-line.ts';
import { patchDgram } from '../../../cli/network/proxy/preload/patch-dgram.ts';
import { waitFor } from '../../cluster/exec.ts';

let answer: Omit<Answer, 'id'> = {};
const asked: string[] = [];
patchDgram({
  request: (body: { op: string }, done: (answer: Answer) => void) => {
    asked.push(body.op);
    setTimeout(() => {
      asked.push(`${body.op} answered`);
      done({ id: 1, ...answer });
    }, 50);
  },
} as unknown as ControlLine);

const sendAll = (socket: dgram.Socket, count: number): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, () => new Promise((resolve) => socket.send('x', 9, '10.9.9.9', resolve))));

test('every send() calls back: of a burst, and without a session', async () => {
  const relay = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await once(relay, 'listening');
  const socket = dgram.createSocket('udp4');
  answer = { port: relay.address().port };
  await sendAll(socket, 400);
  socket.close();
  relay.close();
  answer = { code: 'EHOSTUNREACH' };
  const other = dgram.createSocket('udp4');
  await sendAll(other, 2);
  await assert.rejects(
    new Promise<void>((resolve, reject) => {
      const third = dgram.createSocket('udp4');
      third.connect(9, '10.9.9.9', (...[error]: unknown[]) => (error === undefined ? resolve() : reject(error)));
    }),
    { code: 'EHOSTUNREACH' },
  );
  other.close();
});

test('the relay of a socket that closes before it has one is ended behind its answer', async () => {
  asked.length = 0;
  answer = { port: 9 };
  const socket = dgram.createSocket('udp4').bind(0);
  await once(socket, 'listening');
  socket.send('x', 9, '10.9.9.9', () => {});
  socket.close();
  await waitFor(async () => (asked.includes('endRelay') ? true : undefined), {
    timeoutMs: 10_000,
    intervalMs: 10,
    onTimeout: () => new Error('the relay stays'),
  });
  assert.deepEqual(asked.slice(0, 3), ['relay', 'relay answered', 'endRelay']);
});
