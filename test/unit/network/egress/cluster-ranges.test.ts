import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { coveringRanges, rangesInRefusal } from '../../../../cli/network/egress/cluster-ranges.ts';

describe('the API server’s refusal', () => {
  test('names the range, in the words of old and new versions', () => {
    const old =
      'Service "x" is invalid: spec.clusterIPs: Invalid value: []string{"0.0.0.1"}: failed to allocated ip:0.0.0.1 with error:provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/16';
    const now =
      'failed to allocate IP ::1: the provided IP (::1) is not in the valid range. The range of valid IPs is fd00:96::/108';
    assert.deepEqual(rangesInRefusal(old), ['10.96.0.0/16']);
    assert.deepEqual(rangesInRefusal(now), ['fd00:96::/108']);
  });

  test('tells nothing where it names no range, or nonsense', () => {
    assert.deepEqual(rangesInRefusal('the provided network does not match the current range'), []);
    assert.deepEqual(rangesInRefusal('The range of valid IPs is 999.1.1.1/16'), []);
    assert.deepEqual(rangesInRefusal('The range of valid IPs is 10.0.0.0/99'), []);
  });
});

test('a guess covers the network around each address, once', () => {
  assert.deepEqual(coveringRanges(['10.244.3.17', '10.244.9.1', '172.30.255.255', 'None', ''], { 4: 16, 6: 64 }), [
    '10.244.0.0/16',
    '172.30.0.0/16',
  ]);
  assert.deepEqual(coveringRanges(['10.99.3.17'], { 4: 12, 6: 64 }), ['10.96.0.0/12']);
  assert.deepEqual(coveringRanges(['fd00:10:244:1::5', 'fd00::1:2', '::ffff:10.1.2.3'], { 4: 16, 6: 64 }), [
    'fd00:10:244:1:0:0:0:0/64',
    'fd00:0:0:0:0:0:0:0/64',
    '0:0:0:0:0:0:0:0/64',
  ]);
  assert.deepEqual(coveringRanges(['fd00:96::12:abcd'], { 4: 16, 6: 108 }), ['fd00:96:0:0:0:0:10:0/108']);
});
