import assert from 'node:assert/strict';
import type dnsPacket from 'dns-packet';
import fc from 'fast-check';
import { test } from 'vitest';
import { keepSeconds, ReplyCache } from '../../../src/dns/cache.ts';
import type { Reply } from '../../../src/dns/message.ts';
import { addresses, asReply, opt, query, replyTo, type Sections, soa } from './messages.ts';

const reply = (sections: Sections): Reply => asReply(replyTo(query('web.test'), sections));
const positive = (ttl: number): { reply: Reply } => ({
  reply: reply({ answers: addresses('web.test', ttl, '10.0.0.1') }),
});

test('an answer is kept for its lowest TTL, an hour at most', () => {
  const cname: dnsPacket.Answer = { name: 'web.test', type: 'CNAME', ttl: 5, data: 'x.test' };
  assert.equal(keepSeconds(reply({ answers: [cname, ...addresses('x.test', 60, '10.0.0.1')] })), 5);
  assert.equal(keepSeconds(reply({ answers: addresses('web.test', 60, '10.0.0.1'), additionals: [opt(512)] })), 60);
  assert.equal(keepSeconds(positive(1_000_000).reply), 3600);
  assert.equal(keepSeconds(positive(0).reply), 0);
  assert.equal(keepSeconds(positive(0x80000001).reply), 0); // RFC 2181 §8
});

test('a "no" is kept for what its SOA says, 30 s at most, and not at all without one', () => {
  assert.equal(keepSeconds(reply({ rcode: 3, authorities: [soa(10, 5)] })), 5);
  assert.equal(keepSeconds(reply({ rcode: 3, authorities: [soa(5, 10)] })), 5);
  assert.equal(keepSeconds(reply({ rcode: 0, authorities: [soa(900, 900)] })), 30);
  assert.equal(keepSeconds(reply({ rcode: 3 })), 0);
  assert.equal(keepSeconds(reply({})), 0);
});

test('failures and cut answers are not kept', () => {
  assert.equal(keepSeconds(reply({ rcode: 2, answers: addresses('web.test', 60, '10.0.0.1') })), 0);
  const cut = replyTo(query('web.test'), { answers: addresses('web.test', 60, '10.0.0.1') });
  cut.writeUInt16BE(cut.readUInt16BE(2) | 0x200, 2);
  assert.equal(keepSeconds(asReply(cut)), 0);
});

test('an entry is told with its age until its time is over', () => {
  const cache = new ReplyCache();
  const value = positive(30);
  cache.set('web', value, 1000);
  assert.deepEqual(cache.get('web', 1999), { value, ageSeconds: 0 });
  assert.deepEqual(cache.get('web', 30_999), { value, ageSeconds: 29 });
  assert.equal(cache.get('web', 31_000), undefined);
  assert.deepEqual([cache.size, cache.bytes], [0, 0]);
});

test('a full cache drops what was not used for longest', () => {
  const cache = new ReplyCache({ maxEntries: 2, maxBytes: 1_000_000 });
  for (const key of ['a', 'b']) cache.set(key, positive(30), 0);
  cache.get('a', 1);
  cache.set('c', positive(30), 2);
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => cache.get(key, 3) !== undefined),
    [true, false, true],
  );
});

test('whatever is put in, the cache stays within its entries and bytes and counts right', () => {
  const put = fc.record({
    key: fc.integer({ max: 30, min: 0 }),
    ttl: fc.nat(10),
    count: fc.integer({ min: 1, max: 40 }),
  });
  fc.assert(
    fc.property(fc.array(put, { maxLength: 60 }), (puts) => {
      const cache = new ReplyCache({ maxEntries: 10, maxBytes: 20_000 });
      for (const [index, { key, ttl, count }] of puts.entries()) {
        const texts = Array.from({ length: count }, () => '10.0.0.1');
        cache.set(`${key}`, { reply: reply({ answers: addresses('web.test', ttl, ...texts) }) }, index * 1000);
        cache.get(`${(key * 7) % 30}`, index * 1000);
        assert.ok(cache.size <= 10 && cache.bytes <= 20_000 && cache.bytes >= 0);
      }
      for (let key = 0; key <= 30; key++) cache.get(`${key}`, 1e9);
      assert.deepEqual([cache.size, cache.bytes], [0, 0]);
    }),
    { numRuns: 50 },
  );
});
