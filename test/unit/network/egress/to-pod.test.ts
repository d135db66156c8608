import assert from 'node:assert/strict';
import { test } from 'vitest';
import { stickyTunnel } from '../../../../cli/network/egress/sticky-tunnel.ts';
import { parseToPod } from '../../../../cli/network/egress/to-pod.ts';

test('--to-pod takes one port, or the laptop’s and the pod’s', () => {
  assert.deepEqual(parseToPod('5432'), { laptopPort: 5432, podPort: 5432 });
  assert.deepEqual(parseToPod('15432:5432'), { laptopPort: 15432, podPort: 5432 });
});

test('--to-pod refuses what is no port', () => {
  for (const bad of ['', '0', '65536', 'x', '1:', ':1', '1:2:3', '1:0', '-1', '99999999'])
    assert.throws(() => parseToPod(bad), { code: 'USAGE_BAD_PORT' }, bad);
});

test('the same tunnel is chosen as long as it is up', () => {
  let up = ['a', 'b'];
  const chosen = stickyTunnel(() => up);
  assert.equal(chosen(), 'a');
  up = ['b', 'a'];
  assert.equal(chosen(), 'a');
  up = ['b', 'c'];
  assert.equal(chosen(), 'b');
  up = [];
  assert.equal(chosen(), undefined);
  up = ['c'];
  assert.equal(chosen(), 'c');
});
