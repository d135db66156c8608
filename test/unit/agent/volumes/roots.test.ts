import assert from 'node:assert/strict';
import { test } from 'vitest';
import { parseMountPoints, placeOf, rootOf, volumeRoots } from '../../../../agent/volumes/roots.ts';

const PLACES = { mountInfo: '', volumesDir: '/kube-intercept/volumes', secretsDir: '/var/run/secrets' };

test('mount points are read with what mountinfo escapes', () => {
  const table = [
    '1 2 0:1 / / ro - overlay overlay ro',
    '3 1 0:2 /x /kube-intercept/volumes/my\\040data\\134x ro,noatime shared:1 - ext4 /dev/root rw',
    'broken',
    '',
  ].join('\n');
  assert.deepEqual(parseMountPoints(table), ['/', '/kube-intercept/volumes/my data\\x']);
});

test("the app's volumes and tokens of admission are roots; the agent's own volumes are not", () => {
  const points = [
    '/',
    '/proc',
    '/dev/shm',
    '/etc/hosts',
    '/etc/resolv.conf',
    '/kube-intercept/code',
    '/kube-intercept/credentials',
    '/kube-intercept/volumes/etc/config',
    '/kube-intercept/volumes/var/run/secrets/cloud/token',
    '/run/secrets',
    '/run/secrets/kubernetes.io/serviceaccount',
    '/run/secrets/cloud/token',
    '/kube-intercept/volumes-other/x',
  ];
  assert.deepEqual(volumeRoots(points, PLACES, '/run/secrets'), [
    { path: '/etc/config', place: '/kube-intercept/volumes/etc/config' },
    { path: '/var/run/secrets/cloud/token', place: '/kube-intercept/volumes/var/run/secrets/cloud/token' },
    { path: '/var/run/secrets/kubernetes.io/serviceaccount', place: '/run/secrets/kubernetes.io/serviceaccount' },
  ]);
});

test('a path belongs to the innermost root, and to none by half a name', () => {
  const roots = [
    { path: '/data', place: '/v/data' },
    { path: '/data/conf', place: '/v/data/conf' },
  ];
  assert.equal(rootOf(roots, '/data/conf/x')?.path, '/data/conf');
  assert.equal(rootOf(roots, '/data/config')?.path, '/data');
  assert.equal(rootOf(roots, '/database'), undefined);
  assert.equal(placeOf(roots, '/data'), '/v/data');
  assert.equal(placeOf(roots, '/data/a/b'), '/v/data/a/b');
  assert.equal(placeOf(roots, '/etc'), undefined);
});
