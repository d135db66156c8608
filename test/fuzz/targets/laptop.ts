// The ports that a session opens on the laptop, with real sockets, and WebSockets of both ends.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { makeCredentials } from '../../../cli/network/proxy/access.ts';
import { ProxyPort } from '../../../cli/network/proxy/proxy-port.ts';
import { readDatagram, writeDatagram } from '../../../cli/network/proxy/socks-messages.ts';
import { silentLog } from '../../../src/log.ts';
import { acceptWebSocket } from '../../../src/net/transport/websocket.ts';
import { MAX_MESSAGE_BYTES } from '../../../src/protocol/limits.ts';
import { type PodDouble, startPodDouble } from '../../integration/network/support/pod-double.ts';
import { until } from '../../support/until.ts';
import { piecesOf } from '../mutate.ts';
import type { Random } from '../random.ts';
import type { Target } from '../target.ts';

export const socksDatagrams: Target = {
  name: 'SOCKS datagrams',
  seeds: [
    writeDatagram({ host: '10.0.0.1', port: 53 }, Buffer.from('a')),
    writeDatagram({ host: 'fd00::1', port: 53 }, Buffer.from('a')),
    writeDatagram({ host: 'api.shop', port: 53 }, Buffer.alloc(0)),
  ],
  run: (input) => {
    const read = readDatagram(input);
    if (read === undefined) return;
    assert.ok(read.data.byteLength <= input.byteLength);
    const again = readDatagram(writeDatagram(read.destination, read.data));
    assert.deepEqual(again?.data, read.data);
    assert.equal(again?.destination.port, read.destination.port);
  },
};

/** Says the input in pieces, and leaves. @returns once the other side has let go of it, too */
async function say(port: number, input: Buffer, random: Random): Promise<void> {
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {}).resume();
  await until(() => !socket.connecting, 'connected', 20_000);
  for (const piece of piecesOf(input, random, 3)) {
    socket.write(piece);
    if (random.below(2) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  for (let turns = 0; turns < 2; turns += 1) await new Promise((resolve) => setImmediate(resolve));
  if (random.below(2) === 0) socket.resetAndDestroy();
  else socket.destroy();
}

const credentials = makeCredentials();
const basic = Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64');
const auth = `Proxy-Authorization: Basic ${basic}\r\n`;
let pod: PodDouble | undefined;
let proxy: ProxyPort | undefined;

async function proxyPort(): Promise<ProxyPort> {
  pod ??= await startPodDouble();
  const { egress, resolver } = pod;
  proxy ??= await ProxyPort.listen({ egress, resolver, credentials, log: silentLog });
  return proxy;
}

export const proxyClients: Target = {
  name: 'clients of the proxy',
  seeds: [
    Buffer.from('050100' + '05010001' + '0a600010' + '0050', 'hex'),
    Buffer.from('0501000501000303617069' + '0050', 'hex'),
    Buffer.from('050102' + '01' + '0161' + '0162', 'hex'),
    Buffer.from('050100' + '05030001' + '00000000' + '0000', 'hex'),
    Buffer.from('0501000' + '5f00001000000000000', 'hex'),
    Buffer.concat([
      Buffer.from('050100' + '05f00001' + '00000000' + '0000', 'hex'),
      Buffer.from('{"id":1,"op":"lookup","host":"api","family":0}\n'),
    ]),
    Buffer.concat([Buffer.from('04010050000000016100', 'hex'), Buffer.from('api\0')]),
    Buffer.from(`CONNECT api:80 HTTP/1.1\r\nHost: api:80\r\n${auth}\r\n`),
    Buffer.from(`GET http://api/ HTTP/1.1\r\nHost: api\r\n${auth}\r\n`),
    Buffer.from(
      `POST http://api/ HTTP/1.1\r\nHost: api\r\n${auth}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    ),
    Buffer.from(`GET http://api/ HTTP/1.1\r\nHost: api\r\n${auth}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`),
    Buffer.from('001d00010100000100000000000003617069000001000100', 'hex'),
  ],
  tokens: [
    '\r\n',
    '\r\n\r\n',
    'Host: ',
    '[::1]:80',
    'http://',
    ':0',
    ':65536',
    '\x05\x01\x00',
    '\x03\xff',
    '\0',
    '{"id":1,"op":"dial"',
    '\n',
  ].concat([
    '"host":"api","port":-1,"from":1}',
    '"relay","from":70000}',
    'Content-Length: 5\r\n',
    'Expect: 100-continue\r\n',
  ]),
  run: async (input, random) => {
    const { port } = await proxyPort();
    await say(port, input, random);
  },
  close: async () => {
    const made = await proxyPort();
    await until(() => made.openConnections === 0, 'the proxy has let go of all its clients', 60_000);
    await made.close();
    await pod?.close();
    proxy = undefined;
    pod = undefined;
  },
};

const UPGRADE = Buffer.from(
  'GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
);
let server: Server | undefined;
let open = 0;

async function webSocketPort(): Promise<number> {
  if (server === undefined) {
    server = createServer();
    server.on('clientError', (_failure, socket) => socket.destroy());
    acceptWebSocket(server, {
      pathSuffix: '/tunnel',
      onTransport: (transport) => {
        open += 1;
        transport.onMessage = (message) => assert.ok(message.byteLength <= MAX_MESSAGE_BYTES);
        transport.onClose = () => {
          open -= 1;
        };
        transport.resume();
      },
    });
    server.listen(0, '127.0.0.1');
    await until(() => server?.listening === true, 'it listens');
  }
  return (server.address() as AddressInfo).port;
}

export const webSockets: Target = {
  name: 'WebSockets',
  seeds: [
    Buffer.concat([UPGRADE, Buffer.from('828500000000', 'hex'), Buffer.from('hello')]),
    Buffer.concat([UPGRADE, Buffer.from('028200000000' + '6162' + '808100000000' + '63', 'hex')]),
    Buffer.concat([UPGRADE, Buffer.from('898000000000' + '888200000000' + '03e8', 'hex')]),
    Buffer.concat([UPGRADE, Buffer.from('82ff0000000000200000' + '00000000', 'hex')]),
  ],
  tokens: [
    '\r\n',
    'Sec-WebSocket-Extensions: permessage-deflate\r\n',
    '\x82\xfe\xff\xff',
    '\x80\x80',
    '\x89\x80',
    '\x00\x00\x00\x00',
  ],
  run: async (input, random) => {
    await say(await webSocketPort(), input, random);
  },
  close: async () => {
    await until(() => open === 0, 'all carriers have ended', 60_000);
    server?.close();
    server = undefined;
  },
};
