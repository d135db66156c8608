import assert from 'node:assert/strict';
import { chmod, lstat, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, test } from 'vitest';
import { serversBefore } from '../../../../cli/network/system/before.ts';
import { beforeOf, pointedResolvConf, type ResolvConfBefore } from '../../../../cli/network/system/resolv-conf.ts';
import { isPointed, pointResolvConf, restoreResolvConf } from '../../../../cli/network/system/resolv-conf-file.ts';

const EDIT = { nameserver: '127.64.0.53', search: ['shop.svc.cluster.local', 'svc.cluster.local'], keepOthers: true };
const asItWas = (text: string | undefined): ResolvConfBefore => ({
  text,
  link: undefined,
  mode: 0o644,
  uid: 0,
  gid: 0,
});
/** Without comments. */
const pointed = (text: string | undefined, edit = EDIT): string[] =>
  pointedResolvConf(asItWas(text), edit)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));

describe('the text', () => {
  test('our server is first, two of the laptop’s stay, and its domains come after the pod’s', () => {
    const text = 'nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nsearch lan svc.cluster.local\n';
    assert.deepEqual(pointed(text), [
      'nameserver 127.64.0.53',
      'nameserver 192.0.2.1',
      'nameserver 192.0.2.2',
      'search shop.svc.cluster.local svc.cluster.local lan',
      'options timeout:2 attempts:2',
    ]);
  });

  test('options stay but for those that decide whom to ask and how long; so does what we do not know', () => {
    const text =
      'sortlist 130.155.160.0\nnameserver 192.0.2.1\noptions edns0 rotate timeout:30\noptions ndots:2 attempts:9\n';
    assert.deepEqual(pointed(text).slice(3), ['options edns0 ndots:2 timeout:2 attempts:2', 'sortlist 130.155.160.0']);
  });

  test('for musl our server is alone', () => {
    assert.deepEqual(pointed('nameserver 192.0.2.1\n', { ...EDIT, keepOthers: false }).slice(0, 2), [
      'nameserver 127.64.0.53',
      'search shop.svc.cluster.local svc.cluster.local',
    ]);
  });

  test.each([undefined, '', '# nothing\n', 'nameserver not-an-address\n'])(
    'where it named no server (%j), the one libc asks then stays behind ours',
    (text) => assert.deepEqual(pointed(text).slice(0, 2), ['nameserver 127.64.0.53', 'nameserver 127.0.0.1']),
  );

  test('our own server is never its own fallback', () => {
    const text = 'nameserver 127.64.0.53\nnameserver 192.0.2.1\n';
    assert.deepEqual(pointed(text).slice(0, 2), ['nameserver 127.64.0.53', 'nameserver 192.0.2.1']);
  });

  test('it says itself what was there, whatever that was', () => {
    const link = fc.option(fc.string({ unit: 'binary' }), { nil: undefined });
    const text = fc.option(fc.string({ unit: 'binary', maxLength: 2_000 }), { nil: undefined });
    fc.assert(
      fc.property(text, link, (someText, someLink) => {
        const was = { ...asItWas(someText), link: someLink };
        assert.deepEqual(beforeOf(pointedResolvConf(was, EDIT)), was);
      }),
    );
  });

  test('a file of somebody else, or one of ours that was edited, says nothing', () => {
    const ours = pointedResolvConf(asItWas('nameserver 192.0.2.1\n'), EDIT);
    const original = (value: string): string => `# kube-intercept: original ${Buffer.from(value).toString('base64')}\n`;
    const others = [
      '',
      'nameserver 192.0.2.1\n',
      `nameserver 192.0.2.1\n${ours}`,
      ours.replace(/^# kube-intercept: original .*\n/m, ''),
      ours.slice(0, 200),
      ...['null', '3', '{}', '{"mode":420,"uid":0,"gid":0,"text":5}', '{"mode":420,"uid":0,"gid":0,"link":{}}'].map(
        original,
      ),
    ];
    for (const text of others) assert.equal(beforeOf(text), undefined, text);
  });
});

describe('the file', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'resolv-conf-'));
    path = join(folder, 'resolv.conf');
  });
  afterEach(async () => rm(folder, { recursive: true }));

  test('comes back as it was, with its mode', async () => {
    await writeFile(path, '# by hand\nnameserver 192.0.2.1');
    await chmod(path, 0o600);
    await pointResolvConf(path, EDIT);
    assert.match(await readFile(path, 'utf8'), /^nameserver 127\.64\.0\.53$/m);
    assert.equal(await restoreResolvConf(path), true);
    assert.equal(await readFile(path, 'utf8'), '# by hand\nnameserver 192.0.2.1');
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal(await restoreResolvConf(path), false); // nothing of ours is left
  });

  test('one that was not there is gone again', async () => {
    await pointResolvConf(path, EDIT);
    assert.equal(await restoreResolvConf(path), true);
    await assert.rejects(lstat(path), { code: 'ENOENT' });
  });

  test('pointed twice, also by the next session after a kill, it still knows what was first', async () => {
    await writeFile(path, 'nameserver 192.0.2.1\n');
    await pointResolvConf(path, EDIT);
    await pointResolvConf(path, { ...EDIT, nameserver: '127.64.0.54' });
    await restoreResolvConf(path);
    assert.equal(await readFile(path, 'utf8'), 'nameserver 192.0.2.1\n');
  });

  test('what another program has written meanwhile stays', async () => {
    await pointResolvConf(path, EDIT);
    await writeFile(path, 'nameserver 198.51.100.1\n');
    assert.equal(await isPointed(path), false);
    assert.equal(await restoreResolvConf(path), false);
    assert.equal(await readFile(path, 'utf8'), 'nameserver 198.51.100.1\n');
  });

  test('a link is replaced and comes back; meanwhile the file it led to is followed from network to network', async () => {
    const target = join(folder, 'of-the-network');
    await writeFile(target, 'nameserver 192.0.2.1\n');
    await symlink('of-the-network', path);
    await pointResolvConf(path, EDIT);
    assert.equal(await readFile(target, 'utf8'), 'nameserver 192.0.2.1\n');
    assert.equal(await isPointed(path), true);
    await writeFile(target, 'nameserver 198.51.100.1\n');
    assert.equal(await isPointed(path), false);
    assert.deepEqual(await serversBefore(path), [{ host: '198.51.100.1', port: 53 }]);
    await pointResolvConf(path, EDIT);
    assert.match(await readFile(path, 'utf8'), /^nameserver 198\.51\.100\.1$/m);
    await rm(target); // with the program that wrote it
    assert.equal(await isPointed(path), true);
    await restoreResolvConf(path);
    assert.equal(await readlink(path), 'of-the-network');
  });

  test('the laptop’s own servers are those from before, and never ours', async () => {
    assert.deepEqual(await serversBefore(path), [{ host: '127.0.0.1', port: 53 }]);
    await writeFile(path, 'nameserver 127.64.0.54\nnameserver 192.0.2.1\n'); // 127.64.0.54: left by hand
    await pointResolvConf(path, EDIT);
    assert.deepEqual(await serversBefore(path), [{ host: '192.0.2.1', port: 53 }]);
    assert.equal(await isPointed(join(folder, 'missing')), undefined);
  });
});
