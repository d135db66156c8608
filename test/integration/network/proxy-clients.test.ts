import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'vitest';
import { makeCredentials } from '../../../cli/network/proxy/access.ts';
import { ProxyPort } from '../../../cli/network/proxy/proxy-port.ts';
import { silentLog } from '../../../src/log.ts';
import { until } from '../../support/until.ts';
import { API_ADDRESS, type PodDouble, startPodDouble } from './support/pod-double.ts';
import { run } from './support/run.ts';
import { httpUpstream, tcpUpstream, type Upstream } from './support/upstreams.ts';

const credentials = makeCredentials();
const auth = `${credentials.user}:${credentials.password}`;
let pod: PodDouble;
let proxy: ProxyPort;
let upstreams: Upstream[] = [];

beforeEach(async () => {
  pod = await startPodDouble();
  const { egress, resolver } = pod;
  proxy = await ProxyPort.listen({ egress, resolver, credentials, log: silentLog, uids: [] });
});

afterEach(async () => {
  await proxy.close();
  assert.equal(proxy.openConnections, 0);
  await Promise.all(upstreams.map((upstream) => upstream.close()));
  upstreams = [];
  await pod.close();
});

async function web(): Promise<number> {
  const upstream = await httpUpstream((req, res) => {
    void buffer(req).then((body) => {
      res.setHeader('X-Seen', JSON.stringify(req.rawHeaders.slice(0, 40)));
      res.end(`${req.method} ${req.url} ${req.headers.host} ${body}`);
    });
  });
  upstreams.push(upstream);
  return upstream.port;
}

async function tcp(serve: (socket: Socket) => void): Promise<number> {
  const upstream = await tcpUpstream(serve);
  upstreams.push(upstream);
  return upstream.port;
}

async function dialProxy(): Promise<Socket> {
  const socket = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {}); // resets are part of some tests
  await once(socket, 'connect');
  return socket;
}

/** What came and has not been taken. */
const received = new WeakMap<Socket, Buffer>();

async function take(socket: Socket, count: number): Promise<Buffer> {
  const now = (): Buffer => received.get(socket) ?? Buffer.alloc(0);
  await until(() => now().byteLength >= count || socket.readableEnded || socket.destroyed, `${count} bytes`);
  const taken = now().subarray(0, count);
  received.set(socket, now().subarray(count));
  return taken;
}

/** Through the handshake of SOCKS5 up to the reply. */
async function socks(destination: Buffer, port: number, command = 1, password = credentials.password): Promise<Socket> {
  const socket = await dialProxy();
  socket.on('data', (chunk) => received.set(socket, Buffer.concat([received.get(socket) ?? Buffer.alloc(0), chunk])));
  socket.write(Buffer.from([5, 1, 2]));
  assert.deepEqual([...(await take(socket, 2))], [5, 2]);
  const secret = Buffer.from(password);
  socket.write(
    Buffer.concat([
      Buffer.from([1, credentials.user.length]),
      Buffer.from(credentials.user),
      Buffer.from([secret.length]),
      secret,
    ]),
  );
  const [, status] = await take(socket, 2);
  if (status !== 0) return socket;
  socket.write(Buffer.concat([Buffer.from([5, command, 0]), destination, Buffer.from([port >> 8, port & 255])]));
  return socket;
}

const ipv4 = (address: string): Buffer => Buffer.from([1, ...address.split('.').map(Number)]);
const named = (name: string): Buffer => Buffer.concat([Buffer.from([3, name.length]), Buffer.from(name)]);

describe('curl', () => {
  const ways = [
    ['SOCKS5 with names', (port: number) => ['--socks5-hostname', `${auth}@127.0.0.1:${port}`]],
    ['an HTTP proxy', (port: number) => ['-x', `http://${auth}@127.0.0.1:${port}`]],
    ['an HTTP tunnel', (port: number) => ['-p', '-x', `http://${auth}@127.0.0.1:${port}`]],
  ] as const;

  test.each(ways)('reaches names and addresses of the cluster through %s', async (_, option) => {
    const port = await web();
    const curl = [
      'curl',
      '-sS',
      '-m',
      '10',
      ...option(proxy.port),
      '-d',
      'body',
      `http://api:${port}/a?b=c`,
      `http://${API_ADDRESS}:${port}/`,
    ];
    const { out, err } = await run(curl);
    assert.equal(err, '');
    assert.equal(out, `POST /a?b=c api:${port} bodyPOST / ${API_ADDRESS}:${port} body`);
    assert.deepEqual(pod.opened, [`tcp ${API_ADDRESS}:${port}`, `tcp ${API_ADDRESS}:${port}`]);
  });

  test('is told by SOCKS5 why a connection was not made', async () => {
    for (const [host, code] of [
      ['refused', 5],
      ['unreachable', 4],
      ['slow', 6],
      ['nowhere', 4],
    ] as const) {
      const { err } = await run([
        'curl',
        '-sS',
        '-m',
        '10',
        '--socks5-hostname',
        `${auth}@127.0.0.1:${proxy.port}`,
        `http://${host}:80/`,
      ]);
      assert.match(err, new RegExp(`\\(${code}\\)`), host);
    }
  });

  test('is told by status and a line why a connection was not made', async () => {
    const answers = [
      ['refused', 502, 'connection refused'],
      ['unreachable', 502, 'host unreachable'],
      ['slow', 504, 'connection timed out'],
      ['nowhere', 502, 'no such host'],
    ] as const;
    for (const [host, status, why] of answers) {
      const { out } = await run([
        'curl',
        '-sS',
        '-m',
        '10',
        '-w',
        '%{http_code}',
        '-x',
        `http://${auth}@127.0.0.1:${proxy.port}`,
        `http://${host}:81/`,
      ]);
      assert.equal(out, `kube-intercept: ${host}:81: ${why}\n${status}`);
    }
  });

  test('gets in with the credentials only', async () => {
    const port = await web();
    for (const option of [
      ['-x', 'http://'],
      ['-p', '-x', 'http://'],
      ['-x', 'socks5h://'],
      ['-x', 'socks4a://'],
    ]) {
      for (const who of ['', 'intercept:wrong@']) {
        const flags = [...option.slice(0, -1), `${option.at(-1)}${who}127.0.0.1:${proxy.port}`];
        const { out } = await run(['curl', '-s', '-m', '10', '-w', '%{http_code}', ...flags, `http://api:${port}/`]);
        assert.doesNotMatch(out, /GET/, flags.join(' '));
      }
    }
    assert.deepEqual(pod.opened, []);
  });
});

test('on Linux the session’s own user needs no credentials, with SOCKS4a too', async () => {
  const { egress, resolver } = pod;
  const own = await ProxyPort.listen({ egress, resolver, credentials, log: silentLog });
  const port = await web();
  for (const scheme of ['http', 'socks5h', 'socks4a', 'socks4']) {
    const host = scheme === 'socks4' ? API_ADDRESS : 'api';
    const { out, err } = await run([
      'curl',
      '-sS',
      '-m',
      '10',
      '-x',
      `${scheme}://127.0.0.1:${own.port}`,
      `http://${host}:${port}/`,
    ]);
    if (process.platform === 'linux') assert.equal(out, `GET / ${host}:${port} `, err);
    else assert.notEqual(err, '');
  }
  await own.close();
});

describe('SOCKS5', () => {
  test('a half-close passes both ways and a server may speak first', async () => {
    const port = await tcp((socket) => {
      socket.write('220 ready\n');
      socket.on('end', () => socket.end('bye'));
      socket.resume();
    });
    const socket = await socks(named('api'), port);
    assert.equal((await take(socket, 10))[1], 0);
    assert.equal(String(await take(socket, 10)), '220 ready\n');
    socket.end();
    assert.equal(String(await take(socket, 3)), 'bye');
    await until(() => socket.closed, 'closed');
  });

  test('a reset stays a reset', async () => {
    const port = await tcp((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const socket = await socks(named('api'), port);
    await take(socket, 10);
    const failed = once(socket, 'error');
    socket.write('x');
    const [error] = await failed;
    assert.equal(error.code, 'ECONNRESET');
  });

  test('refusals have the codes of RFC 1928', async () => {
    const rows = [
      [ipv4('10.96.0.11'), 80, 1, 5],
      [ipv4('10.96.0.12'), 80, 1, 4],
      [ipv4('10.96.0.13'), 80, 1, 6],
      [named('nowhere'), 80, 1, 4],
      [ipv4(API_ADDRESS), 80, 2, 7],
      [Buffer.from([9, 1]), 80, 1, 8],
    ] as const;
    for (const [destination, port, command, code] of rows) {
      const socket = await socks(destination, port, command);
      assert.equal((await take(socket, 10))[1], code, `${[...destination]}`);
      socket.destroy();
    }
  });

  test('a wrong password ends the connection', async () => {
    const socket = await socks(named('api'), 80, 1, 'wrong');
    await until(() => socket.readableEnded || socket.destroyed, 'ended');
    socket.destroy();
    assert.deepEqual(pod.opened, []);
  });

  test('connects to IPv6 addresses', async () => {
    const port = await tcp((socket) => socket.end('six'));
    const socket = await socks(Buffer.from([4, 0xfd, 0, 0, 0x96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10]), port);
    assert.equal((await take(socket, 10))[1], 0);
    assert.equal(String(await take(socket, 3)), 'six');
    socket.end();
  });
});

test('a browser that is led to the port by a name of its own learns nothing', async () => {
  const socket = await dialProxy();
  socket.write(
    'GET /x HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\nGET http://api/ HTTP/1.1\r\n\r\n',
  );
  const answer = String(await buffer(socket));
  assert.match(answer, /^HTTP\/1\.1 400 /);
  assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1);
  assert.deepEqual(pod.opened, []);
});

test('what belongs to one hop stays on it, and the credentials above all', async () => {
  const port = await web();
  const header = ['-H', 'Connection: X-Hop', '-H', 'X-Hop: 1', '-H', 'X-Stays: 2', '-H', 'TE: trailers'];
  const { out } = await run([
    'curl',
    '-sS',
    '-i',
    '-m',
    '10',
    ...header,
    '-x',
    `http://${auth}@127.0.0.1:${proxy.port}`,
    `http://api:${port}/`,
  ]);
  assert.match(out, /X-Stays/);
  assert.doesNotMatch(out, /X-Hop|Proxy-|TE"/i);
});

test('no garbage does more than end its own connection', async () => {
  const seed = Date.now() % 100_000;
  let state = seed;
  const next = (max: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * max);
  };
  for (let round = 0; round < 150; round++) {
    const socket = await dialProxy();
    const bytes = Buffer.from(Array.from({ length: 1 + next(60) }, () => next(256)));
    const heads = [
      '',
      '\x05',
      '\x05\x01\x02',
      '\x04\x01',
      'GET ',
      'CONNECT ',
      'CONNECT api:',
      'POST http://',
      '\0\x1d',
    ];
    socket.end(Buffer.concat([Buffer.from(heads[next(heads.length)] ?? '', 'latin1'), bytes]));
    socket.resume();
    await until(() => socket.closed, `round ${round} of seed ${seed} is over`);
  }
  await until(() => proxy.openConnections === 0, 'all are over');
  assert.deepEqual(pod.opened, [], `seed ${seed}`);
});
