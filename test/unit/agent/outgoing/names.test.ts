import assert from 'node:assert/strict';
import { test } from 'vitest';
import { parseDnsServers } from '../../../../agent/outgoing/dns-servers.ts';
import { parseHosts } from '../../../../agent/outgoing/lookup.ts';

test('resolvers and their options are read from resolv.conf, within bounds', () => {
  const text =
    'search a.svc b\nnameserver 10.96.0.10\noptions ndots:5 timeout:1\noptions attempts:9 rotate timeout:2\n';
  assert.deepEqual(parseDnsServers(text), {
    nameservers: ['10.96.0.10'],
    search: ['a.svc', 'b'],
    ndots: 5,
    timeoutMs: 2000,
    attempts: 5,
    rotate: true,
  });
  const usual = { nameservers: ['127.0.0.1'], search: [], ndots: 1, timeoutMs: 5000, attempts: 2, rotate: false };
  assert.deepEqual(parseDnsServers(''), usual);
  assert.deepEqual(parseDnsServers('options timeout:x attempts: rotated\n'), usual);
  assert.deepEqual(parseDnsServers('options timeout:0 attempts:0\n'), { ...usual, timeoutMs: 1000, attempts: 1 });
});

test('names are found in /etc/hosts whatever their case and last dot, and never by half', () => {
  const hosts =
    '127.0.0.1\tlocalhost\n::1 localhost ip6\n10.1.1.1 Db db.example # 10.1.1.2 no\n# 10.1.1.3 db\nx db\n10.1.1.4\n';
  assert.deepEqual(parseHosts(hosts, 'DB.'), [{ address: '10.1.1.1', family: 4 }]);
  assert.deepEqual(
    parseHosts(hosts, 'localhost').map(({ family }) => family),
    [4, 6],
  );
  for (const name of ['no', 'example', '', '10.1.1.4', 'd']) assert.deepEqual(parseHosts(hosts, name), []);
});
