import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { formatResolvConf, parseResolvConf } from '../../../src/dns/resolv-conf.ts';

test('a pod’s resolv.conf gives its nameserver, search list and ndots', () => {
  const text =
    'nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local lan\noptions ndots:5\n';
  assert.deepEqual(parseResolvConf(text), {
    nameservers: ['10.96.0.10'],
    search: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'lan'],
    ndots: 5,
  });
});

test('an empty file has no servers, no search list and ndots 1', () => {
  assert.deepEqual(parseResolvConf(''), { nameservers: [], search: [], ndots: 1 });
});

test('the last of several search and domain lines counts', () => {
  assert.deepEqual(parseResolvConf('search a b\ndomain c d\n').search, ['c']);
  assert.deepEqual(parseResolvConf('domain c\nsearch a. b\n').search, ['a', 'b']);
});

test('comments, unknown words, the root and broken values are passed over', () => {
  const text = [
    '# nameserver 1.1.1.1',
    '; nameserver 2.2.2.2',
    'nameserver not-an-address',
    'nameserver',
    'sortlist 1.2.3.4',
    'search . corp.example # the office',
    'options edns0 ndots:x ndots:2 trust-ad',
    'nameserver fe80::1%eth0',
    'nameserver\t9.9.9.9',
    'nameserver 9.9.9.10',
    'nameserver 9.9.9.11',
  ].join('\r\n');
  assert.deepEqual(parseResolvConf(text), {
    nameservers: ['fe80::1%eth0', '9.9.9.9', '9.9.9.10'],
    search: ['corp.example'],
    ndots: 2,
  });
});

test('ndots is held to what glibc takes', () => {
  assert.equal(parseResolvConf('options ndots:900000000').ndots, 15);
  assert.equal(parseResolvConf('options ndots:0').ndots, 0);
});

test('what is formatted is read back the same', () => {
  const domain = fc.stringMatching(/^[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,3}$/);
  const conf = fc.record(
    {
      nameservers: fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 3 }),
      search: fc.array(domain, { maxLength: 6 }),
      ndots: fc.integer({ min: 0, max: 15 }),
    },
    { noNullPrototype: true },
  );
  fc.assert(fc.property(conf, (given) => assert.deepEqual(parseResolvConf(formatResolvConf(given)), given)));
});

test('no text makes the parser throw', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void parseResolvConf(text)));
});
