import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { compileGlobs, globProblem } from '../../src/glob.ts';

test.each([
  // glob, path, whether it is named
  ['/var/lib/big/**', '/var/lib/big/a', true],
  ['/var/lib/big/**', '/var/lib/big/a/b/c', true],
  ['/var/lib/big/**', '/var/lib/big', false],
  ['/var/lib/big/**', '/var/lib/bigger/a', false],
  ['/var/lib/big', '/var/lib/big', true],
  ['/var/lib/big', '/var/lib/big/a/b', true],
  ['/var/lib/big/', '/var/lib/big/a', true],
  ['/var/lib/big', '/var/lib/bigger', false],
  ['*.sock', '/run/app/a.sock', true],
  ['*.sock', '/a.sock', true],
  ['*.sock', '/run/a.sock.old', false],
  ['*.sock', '/run/app.sock/inner', true],
  ['cache/*.bin', '/var/cache/a.bin', true],
  ['cache/*.bin', '/var/cache/deep/a.bin', false],
  ['/etc/*/key', '/etc/tls/key', true],
  ['/etc/*/key', '/etc/tls/ca/key', false],
  ['/etc/**/key', '/etc/key', true],
  ['/etc/**/key', '/etc/tls/ca/key', true],
  ['/etc/**/ca/**/key', '/etc/ca/x/ca/y/z/key', true],
  ['/etc/**/ca/**/key', '/etc/x/y/key', false],
  ['/etc/?.txt', '/etc/a.txt', true],
  ['/etc/?.txt', '/etc/ab.txt', false],
  ['/data/a*b*c', '/data/axxbyyc', true],
  ['/data/a*b*c', '/data/axxbyyd', false],
  ['/data/a[b].{c}', '/data/a[b].{c}', true],
  ['/data/(a+)+$', '/data/aaaaaaaa', false],
  ['**', '/anything/at/all', true],
  ['/*', '/anything/at/all', true],
] as const)('glob %s and path %s: %s', (glob, path, named) => {
  assert.equal(compileGlobs([glob])(path), named);
});

test('a path is excluded when any of several globs names it, and by none when there are none', () => {
  const match = compileGlobs(['/a/**', '*.log']);
  assert.deepEqual(['/a/x', '/b/x.log', '/b/x'].map(match), [true, true, false]);
  assert.equal(compileGlobs([])('/a'), false);
});

test('a glob that names nothing, or is far too long, says why and matches nothing', () => {
  for (const glob of ['', '/', '//', 'a\0b', 'x'.repeat(2_000)]) {
    assert.notEqual(globProblem(glob), undefined);
    assert.equal(compileGlobs([glob])(`/${glob}`), false);
  }
  assert.equal(globProblem('/var/lib/**'), undefined);
});

test('a path without wildcards is a glob that names itself and what is below', () => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-', 'ä'), minLength: 1, maxLength: 5 });
  const path = fc.array(name, { minLength: 1, maxLength: 5 }).map((names) => `/${names.join('/')}`);
  fc.assert(
    fc.property(path, name, (itself, below) => {
      const match = compileGlobs([itself]);
      assert.ok(match(itself) && match(`${itself}/${below}`) && !match(`${itself}${below}x`));
    }),
  );
});

test('no glob takes for ever, however many stars it has', () => {
  // One that tried every way would not come to an end before the test's deadline.
  const glob = `/${'*a'.repeat(400)}b/${'**/a/'.repeat(40)}z`;
  const path = `/${'a'.repeat(4_000)}/${'a/'.repeat(500)}y`;
  assert.equal(compileGlobs([glob])(path), false);
});
