import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'vitest';
import { ProxyPort } from '../../../cli/network/proxy/proxy-port.ts';
import { silentLog } from '../../../src/log.ts';
import { until } from '../../support/until.ts';
import { API_ADDRESS } from './support/pod-double.ts';
import { credentials, ProxyWorld } from './support/proxy-world.ts';
import { run } from './support/run.ts';

const auth = `${credentials.user}:${credentials.password}`;
let world: ProxyWorld;

beforeEach(async () => {
  world = await ProxyWorld.open();
});
afterEach(() => world.close());

describe('curl', () => {
  const ways = [
    ['SOCKS5 with names', (port: number) => ['--socks5-hostname', `${auth}@127.0.0.1:${port}`]],
    ['an HTTP proxy', (port: number) => ['-x', `http://${auth}@127.0.0.1:${port}`]],
    ['an HTTP tunnel', (port: number) => ['-p', '-x', `http://${auth}@127.0.0.1:${port}`]],
  ] as const;

  test.each(ways)('reaches names and addresses of the cluster through %s', async (_, option) => {
    const port = await world.web();
    const curl = [
      'curl',
      '-sS',
      '-m',
      '10',
      ...option(world.proxy.port),
      '-d',
      'body',
      `http://api:${port}/a?b=c`,
      `http://${API_ADDRESS}:${port}/`,
    ];
    const { out, err } = await run(curl);
    assert.equal(err, '');
    assert.equal(out, `POST /a?b=c api:${port} bodyPOST / ${API_ADDRESS}:${port} body`);
    assert.deepEqual(world.pod.opened, [`tcp ${API_ADDRESS}:${port}`, `tcp ${API_ADDRESS}:${port}`]);
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
        `${auth}@127.0.0.1:${world.proxy.port}`,
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
        `http://${auth}@127.0.0.1:${world.proxy.port}`,
        `http://${host}:81/`,
      ]);
      assert.equal(out, `kube-intercept: ${host}:81: ${why}\n${status}`);
    }
  });

  test('gets in with the credentials only', async () => {
    const port = await world.web();
    for (const option of [
      ['-x', 'http://'],
      ['-p', '-x', 'http://'],
      ['-x', 'socks5h://'],
      ['-x', 'socks4a://'],
    ]) {
      for (const who of ['', 'intercept:wrong@']) {
        const flags = [...option.slice(0, -1), `${option.at(-1)}${who}127.0.0.1:${world.proxy.port}`];
        const { out } = await run(['curl', '-s', '-m', '10', '-w', '%{http_code}', ...flags, `http://api:${port}/`]);
        assert.doesNotMatch(out, /GET/, flags.join(' '));
      }
    }
    assert.deepEqual(world.pod.opened, []);
  });
});

test('on Linux the session’s own user needs no credentials, with SOCKS4a too', async () => {
  const { egress, resolver } = world.pod;
  const own = await ProxyPort.listen({ egress, resolver, credentials, log: silentLog });
  const port = await world.web();
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

test('a browser that is led to the port by a name of its own learns nothing', async () => {
  const socket = await world.dialProxy();
  socket.write(
    'GET /x HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\nGET http://api/ HTTP/1.1\r\n\r\n',
  );
  const answer = String(await buffer(socket));
  assert.match(answer, /^HTTP\/1\.1 400 /);
  assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1);
  assert.deepEqual(world.pod.opened, []);
});

test('what belongs to one hop stays on it, and the credentials above all', async () => {
  const port = await world.web();
  const header = ['-H', 'Connection: X-Hop', '-H', 'X-Hop: 1', '-H', 'X-Stays: 2', '-H', 'TE: trailers'];
  const { out } = await run([
    'curl',
    '-sS',
    '-i',
    '-m',
    '10',
    ...header,
    '-x',
    `http://${auth}@127.0.0.1:${world.proxy.port}`,
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
    const socket = await world.dialProxy();
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
  await until(() => world.proxy.openConnections === 0, 'all are over');
  assert.deepEqual(world.pod.opened, [], `seed ${seed}`);
});
