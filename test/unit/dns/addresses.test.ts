import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { addressText, canonicalAddress } from '../../../src/dns/addresses.ts';

test('one address has one spelling', () => {
  assert.equal(canonicalAddress('10.0.0.1'), '10.0.0.1');
  assert.equal(canonicalAddress('2001:DB8:0:0::1'), '2001:db8::1');
  assert.equal(canonicalAddress('::ffff:10.0.0.1'), '10.0.0.1');
  assert.equal(canonicalAddress('::ffff:a00:1'), '10.0.0.1');
  assert.equal(canonicalAddress('fe80::1%eth0'), 'fe80::1');
  assert.equal(canonicalAddress('not an address'), 'not an address');
});

test('the text of a record’s bytes is canonical', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const text = addressText(bytes);
      if (!text.startsWith('::ffff:')) assert.equal(canonicalAddress(text), text);
    }),
  );
  assert.equal(addressText(Uint8Array.of(192, 168, 0, 1)), '192.168.0.1');
});
