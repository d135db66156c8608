import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, test } from 'vitest';
import { SocketTransport } from '../../../src/net/transport/socket.ts';
import { MAX_MESSAGE_BYTES } from '../../../src/protocol/limits.ts';
import { until } from '../../support/until.ts';

let close: (() => Promise<void>) | undefined;
afterEach(async () => {
  await close?.();
  close = undefined;
});

/** A transport, and the bare socket at its other end. */
async function connected(): Promise<{
  transport: SocketTransport;
  peer: Socket;
  messages: Uint8Array[];
  ends: unknown[];
}> {
  const server = createServer({ allowHalfOpen: true });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const accepted = once(server, 'connection');
  const peer = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', noDelay: true });
  peer.on('error', () => {});
  const [socket]: Socket[] = await accepted;
  assert.ok(socket !== undefined);
  const transport = new SocketTransport(socket);
  const messages: Uint8Array[] = [];
  const ends: unknown[] = [];
  transport.onMessage = (message) => messages.push(Uint8Array.from(message));
  transport.onClose = (error) => ends.push(error);
  transport.resume();
  close = async () => {
    transport.terminate();
    peer.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { transport, peer, messages, ends };
}

test('messages that come byte by byte, and several that come at once, are delivered whole', async () => {
  const { transport, peer, messages } = await connected();
  const sent = [Buffer.from('a'), Buffer.alloc(0), Buffer.from('kube-intercept'), Buffer.alloc(300, 'x')];
  const bytes = Buffer.concat(
    sent.flatMap((message) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(message.byteLength);
      return [length, message];
    }),
  );
  for (const byte of bytes) {
    peer.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  peer.write(bytes);
  await until(() => messages.length === 2 * sent.length, 'all messages');
  assert.deepEqual(
    messages.map(String),
    [...sent, ...sent].map((message) => String(Uint8Array.from(message))),
  );
  const answer = once(peer, 'data');
  transport.send(Buffer.from('hello'));
  assert.equal(String((await answer)[0]), '\0\0\0\x05hello');
});

test('a message that is larger than any may be ends the connection before it is kept', async () => {
  const { peer, messages, ends } = await connected();
  const length = Buffer.alloc(4);
  length.writeUInt32BE(MAX_MESSAGE_BYTES + 1);
  peer.write(length);
  await until(() => ends.length === 1, 'the end');
  assert.match(String(ends[0]), /a message of \d+ bytes/);
  assert.deepEqual(messages, []);
});
