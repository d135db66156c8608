import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, test } from 'vitest';
import { dialFromLaptop } from '../../../cli/network/egress/laptop-dial.ts';
import { listenTcp } from '../../../cli/network/system/tcp-listener.ts';
import { silentLog } from '../../../src/log.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

test('a caller that ends before it is joined, and has said nothing, is answered and ended', async () => {
  // Speaks first, and ends when its peer has: what a mail server does of a client that only wants the banner.
  const upstream = createServer({ allowHalfOpen: true }, (socket) => {
    socket.write('220 hello\r\n');
    socket.on('end', () => socket.end('221 bye\r\n')).resume();
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  closers.push(() => upstream.close());
  const { port } = upstream.address() as AddressInfo;
  const listener = await listenTcp({
    address: '127.77.1.1',
    port,
    host: '127.0.0.1',
    egress: {
      dialTcp: async (host, to, signal) => {
        await delay(50); // a round trip to the pod
        return await dialFromLaptop(host, to, signal);
      },
      openUdp: () => assert.fail(),
    },
    log: silentLog,
  });
  closers.push(() => listener.close());
  const client = connect({ host: '127.77.1.1', port, allowHalfOpen: true });
  client.setTimeout(10_000, () => client.destroy());
  client.end();
  assert.equal(String(await buffer(client)), '220 hello\r\n221 bye\r\n');
});
