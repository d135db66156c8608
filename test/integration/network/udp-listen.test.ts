import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'vitest';
import { UdpMirror } from '../../../cli/network/namespace/udp-mirror.ts';
import { listenUdp } from '../../../cli/network/system/udp-listener.ts';
import { silentLog } from '../../../src/log.ts';

const descriptors = (): number => readdirSync('/proc/self/fd').length;

test('a UDP port that is taken leaves no socket behind, however often it is tried', async () => {
  const taken = createSocket('udp4').bind(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address();
  const egress = { dialTcp: () => assert.fail(), openUdp: () => assert.fail() };
  const before = descriptors();
  for (let tries = 0; tries < 20; tries++) {
    const options = { address: '127.0.0.1', port, host: '10.0.0.1', egress, log: silentLog };
    await assert.rejects(listenUdp(options), { code: 'EADDRINUSE' });
    await assert.rejects(
      UdpMirror.open('127.0.0.1', '127.0.0.1', port, () => {}),
      { code: 'EADDRINUSE' },
    );
  }
  taken.close();
  assert.ok(descriptors() <= before + 2, `${before} descriptors, then ${descriptors()}`);
});
