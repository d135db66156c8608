import assert from 'node:assert/strict';
import { test } from 'vitest';
import { LearnedOrigins } from '../../../cli/network/dns/origins.ts';

test('an address is remembered for ten minutes at least, for longer while it is used, and is bounded', () => {
  const minute = 60_000;
  const origins = new LearnedOrigins(3);
  origins.learn('192.168.1.1', 'laptop', 5, 0);
  assert.equal(origins.originOf('192.168.1.1', 9 * minute), 'laptop');
  assert.equal(origins.originOf('192.168.1.1', 18 * minute), 'laptop');
  assert.equal(origins.originOf('192.168.1.1', 28 * minute), undefined);
  origins.learn('10.0.0.1', 'cluster', 3600, 0);
  assert.equal(origins.originOf('10.0.0.1', 59 * minute), 'cluster');
  for (let last = 1; last <= 10; last++) origins.learn(`10.9.0.${last}`, 'cluster', 5, 0);
  assert.equal(origins.size, 3);
});

test('an address that both know is the cluster’s, and loopback is nobody’s', () => {
  const origins = new LearnedOrigins();
  origins.learn('10.0.0.1', 'laptop', 5, 0);
  origins.learn('10.0.0.1', 'cluster', 5, 1);
  origins.learn('10.0.0.1', 'laptop', 5, 2);
  assert.equal(origins.originOf('10.0.0.1', 3), 'cluster');
  for (const address of ['127.0.0.1', '::1', '0.0.0.0', '::']) {
    origins.learn(address, 'laptop', 5, 0);
    assert.equal(origins.originOf(address, 1), undefined);
  }
});

test('the user’s word for an address stands, whoever else knows it', () => {
  const origins = new LearnedOrigins();
  origins.learn('10.0.0.1', 'cluster', 5, 0);
  origins.learn('10.0.0.1', 'laptop', 5, 1, true);
  origins.learn('10.0.0.1', 'cluster', 5, 2);
  assert.equal(origins.originOf('10.0.0.1', 3), 'laptop');
});
