import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { AddressBook, DNS_ADDRESSES, MAX_ADDRESSES } from '../../../../cli/network/system/addresses.ts';

test('a Service has the same address in every session, whatever else there is', () => {
  assert.equal(new AddressBook().take('shop/api'), '127.122.64.185');
  const other = new AddressBook();
  other.take('shop/web');
  assert.equal(other.take('shop/api'), '127.122.64.185');
  assert.equal(other.take('shop/api'), '127.122.64.185');
});

test('an address somebody else has is left out, and the next one taken', () => {
  assert.equal(new AddressBook(['127.122.64.185']).take('shop/api'), '127.122.64.186');
});

test('an address that was given back may be another’s, not before', () => {
  const book = new AddressBook();
  const first = book.take('shop/api');
  book.release('shop/api');
  book.release('shop/never');
  assert.equal(book.take('shop/api'), first);
});

test('all addresses are different, of 127.64.0.0/10, none of the DNS server’s and none that looks like a network or broadcast', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 200 }), (keys) => {
      const book = new AddressBook();
      const addresses = keys.map((key) => book.take(key) ?? '');
      assert.equal(new Set(addresses).size, keys.length);
      for (const address of addresses) {
        const [first, second = 0, , last = 0] = address.split('.').map(Number);
        assert.ok(first === 127 && second >= 64 && second <= 127 && last !== 0 && last !== 255, address);
        assert.ok(!DNS_ADDRESSES.includes(address) && !address.startsWith('127.64.0.'), address);
      }
    }),
  );
});

test('more keys than there are addresses for get none', () => {
  const book = new AddressBook();
  for (let index = 0; index < MAX_ADDRESSES; index++) assert.ok(book.take(`shop/${index}`));
  assert.equal(book.take('shop/one-more'), undefined);
  book.release('shop/0');
  assert.ok(book.take('shop/one-more'));
});
