import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'vitest';
import { dialFromLaptop } from '../../../cli/network/egress/laptop-dial.ts';
import { makeCredentials } from '../../../cli/network/proxy/access.ts';
import { ProxyPort } from '../../../cli/network/proxy/proxy-port.ts';
import { silentLog } from '../../../src/log.ts';

let proxy: ProxyPort;
let upstream: ReturnType<typeof createServer>;
let says = '';
beforeEach(async () => {
  upstream = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(says));
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  proxy = await ProxyPort.listen({
    egress: {
      dialTcp: (host, port, signal) => dialFromLaptop(host, port, signal),
      openUdp: () => {
        throw new Error('none');
      },
    },
    resolver: { answer: async () => Buffer.alloc(0), lookup: async () => [] },
    credentials: makeCredentials(),
    log: silentLog,
  });
});
afterEach(async () => {
  await proxy.close();
  upstream.close();
});

async function ask(path: string): Promise<string> {
  const { port } = upstream.address() as AddressInfo;
  const socket: Socket = connect({ host: '127.0.0.1', port: proxy.port, allowHalfOpen: true });
  socket.on('error', () => {});
  socket.setTimeout(10_000, () => socket.destroy());
  socket.write(`GET http://127.0.0.1:${port}${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  return String(await buffer(socket).catch((e) => `failed: ${e}`));
}
const ENDED = '\r\nContent-Length: 2\r\n\r\nok';
test.each([
  ['a control character in the reason', `HTTP/1.1 200 O\x01K${ENDED}`],
  ['a status of 0', `HTTP/1.1 000 OK${ENDED}`],
  ['a status of 99', `HTTP/1.1 099 OK${ENDED}`],
  ['another protocol that nobody has asked for', 'HTTP/1.1 101 Now\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'],
])('an answer with %s is told to the client, and ends nothing else', async (_, answer) => {
  says = answer;
  assert.match(await ask('/'), /^HTTP\/1.1 502 [\s\S]*its answer is not HTTP/);
  says = `HTTP/1.1 200 OK${ENDED}`;
  assert.match(await ask('/'), /^HTTP\/1.1 200 [\s\S]*ok/);
});
