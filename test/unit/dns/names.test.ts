import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { clusterDomain, isUnder, nameFault, searchCandidates } from '../../../src/dns/names.ts';

const LABEL_63 = 'a'.repeat(63);
const NAME_253 = `${LABEL_63}.${LABEL_63}.${LABEL_63}.${'b'.repeat(61)}`;
const POD_SEARCH = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'lan'];

test('names are held to RFC 1035: labels of 63 bytes, 253 in all, none empty', () => {
  for (const good of ['a', 'a.b.', LABEL_63, NAME_253, `${NAME_253}.`, '_http._tcp.web']) {
    assert.equal(nameFault(good), undefined, good);
  }
  assert.match(nameFault('') ?? '', /empty/);
  assert.match(nameFault('.') ?? '', /empty/);
  assert.match(nameFault('a..b') ?? '', /empty label/);
  assert.match(nameFault('.a') ?? '', /empty label/);
  assert.match(nameFault(`${LABEL_63}a.b`) ?? '', /63/);
  assert.match(nameFault(`${NAME_253}b`) ?? '', /253/);
  assert.match(nameFault('ü'.repeat(32)) ?? '', /63/); // bytes, not characters
});

test('a suffix matches whole labels, whatever its case, dots and star', () => {
  assert.ok(isUnder('api.Corp.example.', 'corp.EXAMPLE'));
  assert.ok(isUnder('corp.example', 'corp.example.'));
  assert.ok(isUnder('a.corp.example', '*.corp.example'));
  assert.ok(isUnder('a.corp.example', '.corp.example'));
  assert.ok(!isUnder('mycorp.example', 'corp.example'));
  assert.ok(!isUnder('example', 'corp.example'));
  assert.ok(!isUnder('anything', ''));
  assert.ok(!isUnder('anything', '.'));
});

test('the cluster’s domain is what follows svc in the search list', () => {
  assert.equal(clusterDomain(POD_SEARCH), 'cluster.local');
  assert.equal(clusterDomain(['lan', 'shop.svc.Prod.k8s.corp.']), 'prod.k8s.corp');
  assert.equal(clusterDomain(['a.k8s.corp', 'b.k8s.corp']), 'k8s.corp');
  assert.equal(clusterDomain(['home.lan']), 'cluster.local');
  assert.equal(clusterDomain(['a.lan', 'b.lan']), 'cluster.local'); // a single label is no cluster's
  assert.equal(clusterDomain([]), 'cluster.local');
});

test('a name with fewer dots than ndots is asked with the search list first, else as it is first', () => {
  const listed = POD_SEARCH.map((domain) => `api.shop.${domain}`);
  assert.deepEqual(searchCandidates('api.shop', POD_SEARCH, 5), [...listed, 'api.shop']);
  assert.deepEqual(searchCandidates('api.shop', POD_SEARCH, 1), ['api.shop', ...listed]);
  assert.deepEqual(searchCandidates('api.shop.', POD_SEARCH, 5), ['api.shop']);
  assert.deepEqual(searchCandidates('api', [], 1), ['api']);
  assert.deepEqual(searchCandidates('api', ['lan', 'lan.'], 1), ['api.lan', 'api']);
});

test('candidates that would be too long are left out, and a faulty name has none', () => {
  assert.deepEqual(searchCandidates(NAME_253, POD_SEARCH, 5), [NAME_253]);
  assert.deepEqual(searchCandidates(`${NAME_253}x`, POD_SEARCH, 5), []);
  assert.deepEqual(searchCandidates('a..b', POD_SEARCH, 5), []);
});

test('every candidate of any text may be asked for', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 0, max: 15 }), (name, ndots) => {
      for (const candidate of searchCandidates(name, POD_SEARCH, ndots)) assert.equal(nameFault(candidate), undefined);
    }),
  );
});
