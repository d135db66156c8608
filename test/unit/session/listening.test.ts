import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'vitest';
import { isListening, parseListeners, parseToOption } from '../../../cli/session/listening.ts';
import { InterceptorError } from '../../../src/errors.ts';

const HEADER = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const line = (local: string, state: string): string =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n`;

const portsOf = (table: string, host: string): number[] => parseListeners(table, host).map(({ port }) => port);

const TABLE =
  HEADER +
  line('00000000:0BB8', '0A') +
  line('0100007F:0BB9', '0A') +
  line('0200007F:0BBA', '0A') +
  line('00000000000000000000000000000000:0BBB', '0A') +
  line('00000000000000000000000001000000:0BBC', '0A') +
  line('0000000000000000FFFF00000100007F:0BBD', '0A');

test('a listener counts on the address itself and on the wildcards, IPv4-mapped ones too', () => {
  assert.deepEqual(portsOf(TABLE, '127.0.0.1'), [3000, 3001, 3003, 3005]);
  assert.deepEqual(portsOf(TABLE, 'localhost'), [3000, 3001, 3003, 3005]);
  assert.deepEqual(portsOf(TABLE, '127.0.0.2'), [3000, 3002, 3003]);
  assert.deepEqual(portsOf(TABLE, '::1'), [3003, 3004]);
  assert.deepEqual(parseListeners(TABLE, '127.0.0.1')[0], { port: 3000, inode: '1' });
});

test('a connection in another state and a listener on another interface do not count', () => {
  const other = HEADER + line('0100007F:0BB8', '01') + line('0205A8C0:0BB8', '0A');
  assert.deepEqual(parseListeners(other, '127.0.0.1'), []);
});

test('an empty or cut table has no listeners', () => {
  assert.deepEqual(parseListeners('', '127.0.0.1'), []);
  assert.deepEqual(parseListeners(`${HEADER}   0: 0100`, '127.0.0.1'), []);
});

test('a server is seen as soon as it listens, and makes no connection to it', async () => {
  const server = createServer();
  let connections = 0;
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const { port } = address;
  assert.equal(await isListening({ host: '127.0.0.1', port }), true);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  assert.equal(await isListening({ host: '127.0.0.1', port }), false);
  assert.equal(connections, 0);
});

test('--to takes a host, a host with a port, and IPv6 in brackets', () => {
  assert.deepEqual(parseToOption('box'), { host: 'box', port: undefined });
  assert.deepEqual(parseToOption('127.0.0.2:81'), { host: '127.0.0.2', port: 81 });
  assert.deepEqual(parseToOption('[::1]:3000'), { host: '::1', port: 3000 });
});

test.each(['', ':80', 'a:b', 'a:70000', 'a:0', '[::1', '::1'])('--to %j is refused', (text) => {
  assert.throws(
    () => parseToOption(text),
    (error) => error instanceof InterceptorError && error.code === 'USAGE_BAD_OPTION',
  );
});
