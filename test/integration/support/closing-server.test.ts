import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'vitest';
import { type ClosingServer, startClosingServer } from '../../support/closing-server.ts';
import { until } from '../../support/until.ts';

/** A caller, connected. */
const dial = async (port: number, allowHalfOpen = false): Promise<Socket> => {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen });
  socket.on('error', () => {}); // told by 'close'
  socket.resume();
  await once(socket, 'connect');
  return socket;
};

const closes = async (server: ClosingServer): Promise<void> => {
  let isClosed = false;
  void server.close().then(() => {
    isClosed = true;
  });
  await until(() => isClosed, 'the server is closed');
  await assert.rejects(dial(server.port), { code: 'ECONNREFUSED' });
};

test('a server that ends every connection closes after callers that said something nobody reads', async () => {
  const server = await startClosingServer();
  for (let i = 0; i < 20; i += 1) {
    const caller = await dial(server.port);
    caller.write('GET / HTTP/1.1\r\n\r\n');
    await once(caller, 'close');
  }
  await closes(server);
});

test('a server that ends every connection closes after callers that reset theirs, and beside one that stays', async () => {
  const server = await startClosingServer();
  (await dial(server.port)).resetAndDestroy();
  const stays = await dial(server.port, true);
  await closes(server);
  stays.destroy();
});
