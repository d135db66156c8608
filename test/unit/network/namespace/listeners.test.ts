import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';

const FOLDER = fileURLToPath(new URL('../../../../cli/network/namespace/inside', import.meta.url));
const CODE = `
import json, socket, sys
sys.path.insert(0, sys.argv[1])
import listeners
print(json.dumps(listeners.listening_tcp([socket.AF_INET, socket.AF_INET6])))
`;

describe.runIf(process.platform === 'linux')('listening sockets, asked of the kernel', () => {
  it('tells those of both families, and no connections', async () => {
    const servers = await Promise.all(
      ['127.0.0.1', '::1'].map(async (host) => {
        const server = createServer().listen(0, host);
        await once(server, 'listening');
        return { server, host, port: (server.address() as AddressInfo).port };
      }),
    );
    const [first] = servers;
    const client = connect(first?.port ?? 0, '127.0.0.1');
    try {
      await once(client, 'connect');
      const found: [string, number][] = JSON.parse(
        execFileSync('python3', ['-B', '-c', CODE, FOLDER], { encoding: 'utf8' }),
      );
      for (const { host, port } of servers) {
        assert.equal(
          found.filter(([address, other]) => address === host && other === port).length,
          1,
          `${host} ${port}`,
        );
      }
      assert.equal(
        found.some(([, port]) => port === client.localPort),
        false,
      );
    } finally {
      client.destroy();
      for (const { server } of servers) server.close();
    }
  });
});
