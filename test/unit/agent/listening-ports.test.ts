import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'vitest';
import { parseListeningPorts, readListeningPorts } from '../../../agent/listening-ports.ts';

const HEADER = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

test('listening ports of both address families are found, connected ones are not', () => {
  const tcp = `${HEADER}   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:2328 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1\n`;
  const tcp6 = `${HEADER}   0: 00000000000000000000000000000000:26AD 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0 0 0 0 3\n`;
  assert.deepEqual([...parseListeningPorts(tcp)], [8080]);
  assert.deepEqual([...parseListeningPorts(tcp6)], [9901]);
});

test('a table that is empty, cut or no table at all has no ports', () => {
  for (const table of ['', HEADER, '   0: 00000000:1F90 00000', 'no table\n\n 1: x y 0A'])
    assert.deepEqual([...parseListeningPorts(table)], []);
});

test.runIf(process.platform === 'linux')('a port is listed while a server listens on it', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  assert.ok((await readListeningPorts()).has(port));
  server.close();
  await once(server, 'close');
  assert.ok(!(await readListeningPorts()).has(port));
});
