import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { startFiles } from '../../../cli/session/files/files.ts';
import type { CopiedFiles, FilesLimits, FilesOptions } from '../../../cli/session/files/types.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { silentLog } from '../../../src/log.ts';
import { until } from '../../support/until.ts';
import { PodDouble, SourceDouble } from './pod-files.ts';

const SESSION = 'abcDEF-_1';
let folder: string;
let warnings: string[];
let pods: PodDouble[];
let copied: CopiedFiles[];
const before = { XDG_STATE_HOME: process.env.XDG_STATE_HOME, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-intercept-test-'));
  await mkdir(join(folder, 'run'), { mode: 0o700 });
  process.env.XDG_STATE_HOME = join(folder, 'state');
  process.env.XDG_RUNTIME_DIR = join(folder, 'run');
  [warnings, pods, copied] = [[], [], []];
});
afterEach(async () => {
  for (const files of copied) await files.close();
  for (const pod of pods) {
    await pod.close();
    assert.deepEqual(pod.tunnel.mux.stats(), { openStreams: 0, queuedBytes: 0, timers: 0 });
  }
  assert.deepEqual(leftFiles(), []);
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  await rm(folder, { recursive: true, force: true });
});

/** Plain files below the folders of the session, of either place. */
function leftFiles(): string[] {
  return ['run', 'state'].flatMap((name) => {
    const path = join(folder, name);
    if (!existsSync(path)) return [];
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name));
  });
}

function makePod(name = 'web-1'): PodDouble {
  const pod = new PodDouble(name, (changed) => {
    for (const files of copied) files.changed(changed);
  });
  pods.push(pod);
  return pod;
}

async function start(pod: PodDouble | SourceDouble, more: Partial<FilesOptions> = {}): Promise<CopiedFiles> {
  const files = await startFiles({
    source: pod instanceof PodDouble ? new SourceDouble(pod.tunnel) : pod,
    sessionId: SESSION,
    exclude: [],
    report: (event) => {
      if (event.event === 'warning') warnings.push(event.message);
    },
    log: silentLog,
    signal: AbortSignal.timeout(20_000),
    ...more,
  });
  copied.push(files);
  return files;
}

const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
const textOf = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);
const inRoot = ({ root }: CopiedFiles, path: string): string => join(root, path);

test('the app’s files are below the root by their own paths, for their user only and read-only', async () => {
  const pod = makePod();
  pod.roots = ['/etc/config', '/var/empty', '/etc/one.yaml'];
  pod.put('/etc/config/a.yaml', 'a: 1\n');
  pod.put('/etc/config/deep/er/b', '');
  pod.put('/etc/config/run.sh', '#!/bin/sh\n', { mode: 0o755 });
  pod.put('/etc/one.yaml', 'one');
  const files = await start(pod);
  assert.deepEqual(files.roots, ['/etc/config', '/var/empty', '/etc/one.yaml']);
  assert.equal(textOf(inRoot(files, 'etc/config/a.yaml')), 'a: 1\n');
  assert.equal(textOf(inRoot(files, 'etc/config/deep/er/b')), '');
  assert.equal(textOf(inRoot(files, 'etc/one.yaml')), 'one');
  assert.deepEqual(
    ['etc/config/a.yaml', 'etc/config/run.sh', 'etc/config/deep', 'var/empty', '', '..'].map((path) =>
      mode(inRoot(files, path)),
    ),
    ['400', '500', '700', '700', '700', '700'],
  );
  assert.ok(files.root.startsWith(join(folder, 'run')));
  assert.deepEqual(warnings, []);
});

test.each([undefined, 'relative', '/nowhere', 'shared'])(
  'without a XDG_RUNTIME_DIR of its user’s own (%s) the copies go to the state folder',
  async (runtime) => {
    await mkdir(join(folder, 'shared'), { mode: 0o755 });
    if (runtime === undefined) delete process.env.XDG_RUNTIME_DIR;
    else process.env.XDG_RUNTIME_DIR = runtime === 'shared' ? join(folder, runtime) : runtime;
    const files = await start(makePod());
    assert.ok(files.root.startsWith(join(folder, 'state')));
  },
);

test('a change arrives, what vanished goes, and what is the same is not touched', async () => {
  const pod = makePod();
  pod.roots = ['/etc/config', '/var/data'];
  pod.put('/etc/config/a', 'old');
  pod.put('/etc/config/same', 'same');
  pod.put('/var/data/x/y/z', 'gone soon');
  const files = await start(pod);
  const { ino } = statSync(inRoot(files, 'etc/config/same'));
  pod.put('/etc/config/a', 'new');
  pod.put('/etc/config/added', '1');
  pod.files.delete('/var/data/x/y/z');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/added')) === '1', 'the change arrives');
  assert.equal(textOf(inRoot(files, 'etc/config/a')), 'new');
  assert.equal(statSync(inRoot(files, 'etc/config/same')).ino, ino);
  assert.deepEqual(readdirSync(inRoot(files, 'var/data')), []);
  assert.equal(pod.opened.filter((path) => path.endsWith('same')).length, 1);
});

test('a file becomes a folder and a folder a file', async () => {
  const pod = makePod();
  pod.put('/etc/config/a', 'file');
  pod.put('/etc/config/b/c', 'file');
  const files = await start(pod);
  pod.files.clear();
  pod.put('/etc/config/a/c', 'below');
  pod.put('/etc/config/b', 'now a file');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/a/c')) === 'below', 'the folder arrives');
  assert.equal(textOf(inRoot(files, 'etc/config/b')), 'now a file');
  assert.deepEqual(readdirSync(inRoot(files, 'etc/config')).sort(), ['a', 'b']);
});

test('files that change together while they are copied arrive as they belong together', async () => {
  const pod = makePod();
  pod.put('/etc/config/tls.crt', 'certificate 1');
  pod.put('/etc/config/tls.key', 'key 1');
  let swaps = 0;
  pod.onFile = (path) => {
    if (path !== '/etc/config/tls.key' || swaps++ > 0) return;
    pod.put('/etc/config/tls.crt', 'certificate 2');
    pod.put('/etc/config/tls.key', 'key 2');
  };
  const files = await start(pod);
  const both = ['tls.crt', 'tls.key'].map((name) => textOf(inRoot(files, `etc/config/${name}`)));
  assert.deepEqual(both, ['certificate 2', 'key 2']);
  assert.equal(pod.opened.length, 4);
});

test('a reader never sees a part of a file, however often it changes', async () => {
  const pod = makePod();
  const texts = ['a', 'b'].map((letter) => letter.repeat(300_000));
  pod.put('/etc/config/big', texts[0] ?? '');
  const files = await start(pod);
  const seen = new Set<string>();
  for (let turn = 1; turn <= 3; turn++) {
    const text = texts[turn % 2] ?? '';
    pod.put('/etc/config/big', text);
    pod.tellChanged();
    await until(() => {
      seen.add(readFileSync(inRoot(files, 'etc/config/big'), 'utf8'));
      return textOf(inRoot(files, 'etc/config/big')) === text;
    }, 'the change arrives');
  }
  assert.deepEqual([...seen].map((text) => texts.indexOf(text)).sort(), [0, 1]);
});

test('a file that is written all the time is copied as it was last seen, and holds up nothing', async () => {
  const pod = makePod();
  pod.put('/etc/config/log', '0');
  pod.put('/etc/config/a', '1');
  let writes = 0;
  pod.onFile = (path) => {
    if (path === '/etc/config/log') pod.put(path, String(++writes));
  };
  const files = await start(pod);
  assert.equal(textOf(inRoot(files, 'etc/config/a')), '1');
  assert.match(textOf(inRoot(files, 'etc/config/log')) ?? '', /^\d$/);
});

test('a file that vanishes while it is copied is left out', async () => {
  const pod = makePod();
  pod.put('/etc/config/a', '1');
  pod.put('/etc/config/b', '2');
  pod.onFile = () => void pod.files.delete('/etc/config/b');
  const files = await start(pod);
  assert.deepEqual(readdirSync(inRoot(files, 'etc/config')), ['a']);
  assert.deepEqual(warnings, []);
});

test('few files are on their way at once', async () => {
  const pod = makePod();
  for (let index = 0; index < 100; index++) pod.put(`/etc/config/${index}`, String(index));
  const files = await start(pod);
  assert.equal(readdirSync(inRoot(files, 'etc/config')).length, 100);
  assert.equal(pod.mostAtOnce, 8);
});

test('paths that would leave the root are left out and told, whatever the agent says', async () => {
  const bad = ['../out', '/etc/../../out', '/etc/config/./x', '/etc/nul\0', '/', `/${'x'.repeat(300)}`];
  const pod = makePod();
  pod.roots = ['/etc/config', '/..', 'relative', '/etc/../../..'];
  for (const path of bad) pod.put(path, 'bad');
  pod.put('/etc//config/good', 'good');
  pod.onFile = () => {};
  pod.files.set('/etc/config/good', { text: 'good' });
  const files = await start(pod);
  assert.deepEqual(files.roots, ['/etc/config']);
  const names = await readdir(files.root, { recursive: true });
  assert.deepEqual(names.sort(), ['etc', 'etc/config', 'etc/config/good']);
  assert.match(warnings.join(), /not copied.*and 1 more/);
  assert.equal(existsSync(join(files.root, '..', 'out')), false);
});

test('a link in the way of a copy is replaced, and nothing is written to or removed from where it leads', async () => {
  const pod = makePod();
  pod.put('/etc/config/a/b', '1');
  pod.put('/etc/config/c', '1');
  const files = await start(pod);
  const outside = join(folder, 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'b'), 'mine');
  await rm(inRoot(files, 'etc/config/a'), { recursive: true });
  await symlink(outside, inRoot(files, 'etc/config/a'));
  await rm(inRoot(files, 'etc/config/c'), { force: true });
  await symlink(join(outside, 'b'), inRoot(files, 'etc/config/c'));
  pod.put('/etc/config/a/b', '2');
  pod.put('/etc/config/c', '2');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/c')) === '2', 'the change arrives');
  assert.equal(textOf(inRoot(files, 'etc/config/a/b')), '2');
  await rm(inRoot(files, 'etc/config/a'), { recursive: true });
  await symlink(outside, inRoot(files, 'etc/config/a'));
  pod.files.delete('/etc/config/a/b');
  pod.put('/etc/config/c', '3');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/c')) === '3', 'the next change arrives');
  assert.equal(await readFile(join(outside, 'b'), 'utf8'), 'mine');
});

test('files that cannot be read are named once, and the others are there', async () => {
  const pod = makePod();
  pod.unreadable = ['/etc/config/root-only'];
  pod.put('/etc/config/late', 'x', { unreadable: true });
  pod.put('/etc/config/fine', '1');
  const files = await start(pod);
  pod.put('/etc/config/fine', '2');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/fine')) === '2', 'the change arrives');
  assert.deepEqual(warnings, [
    'not copied, the agent may not read them (it does not run as root): /etc/config/late, /etc/config/root-only',
  ]);
});

const MIB = 1024 ** 2;
test.each<[string, Partial<FilesLimits>, string[], RegExp]>([
  ['too many files', { maxFiles: 2 }, ['x', 'x', 'x'], /hold 3 files, more than 2; most are in \/etc\/config \(3\)$/],
  [
    'too many bytes',
    { maxBytes: MIB },
    ['x'.repeat(MIB), 'x'.repeat(1024)],
    /hold 1 MiB, more than 1 MiB; the largest: \/etc\/config\/0 \(1 MiB\), \/etc\/config\/1 \(1 KiB\)$/,
  ],
  [
    'one file too large',
    { maxFileBytes: 10 },
    ['x'.repeat(2048), 'x'],
    /hold files larger than 10 bytes: \/etc\/config\/0 \(2 KiB\)$/,
  ],
])('%s: refused with figure, names and the way out, and nothing is left', async (_, limit, texts, message) => {
  const pod = makePod();
  for (const [index, text] of texts.entries()) pod.put(`/etc/config/${index}`, text);
  const limits = { maxFiles: 10, maxBytes: 10 * MIB, maxFileBytes: 10 * MIB, ...limit };
  await assert.rejects(start(pod, { limits }), (error) => {
    assert.ok(error instanceof InterceptorError && error.code === 'FILES_LIMIT');
    assert.match(error.message, message);
    assert.match(error.hint ?? '', /--files-exclude/);
    return true;
  });
  assert.deepEqual(leftFiles(), []);
});

test('a limit passed later is a warning once, and the copies stay as they were', async () => {
  const pod = makePod();
  pod.put('/etc/config/a', '1');
  const files = await start(pod, { limits: { maxFiles: 10, maxBytes: 100, maxFileBytes: 100 } });
  pod.put('/etc/config/a', '2');
  pod.put('/etc/config/b', 'x'.repeat(200));
  for (let turn = 1; turn <= 2; turn++) {
    const listed = pod.listed;
    pod.tellChanged();
    await until(() => pod.listed > listed, 'it is listed again');
  }
  pod.files.delete('/etc/config/b');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/a')) === '2', 'the change arrives');
  assert.equal(warnings.length, 1);
  assert.match(warnings.join(), /not refreshed: .*larger than 100 bytes: \/etc\/config\/b/);
});

test('what --files-exclude names is neither copied nor counted, even if an agent lists it', async () => {
  const pod = makePod();
  pod.roots = ['/etc/config', '/var/big'];
  pod.put('/etc/config/a', '1');
  pod.put('/etc/config/a.sock', '1');
  pod.put('/var/big/x', 'x'.repeat(200));
  const limits = { maxFiles: 1, maxBytes: 100, maxFileBytes: 100 };
  const files = await start(pod, { exclude: ['/var/big', '*.sock'], limits });
  assert.deepEqual(files.roots, ['/etc/config']);
  assert.deepEqual(pod.opened, ['/etc/config/a']);
});

test('when the pod is replaced the next one’s files take over, and equal ones are not touched', async () => {
  const first = makePod('web-1');
  first.put('/etc/config/a', '1');
  first.put('/etc/config/same', 'same');
  const source = new SourceDouble(first.tunnel);
  const files = await start(source);
  const { ino } = statSync(inRoot(files, 'etc/config/same'));
  await first.close();
  const second = makePod('web-2');
  second.put('/etc/config/a', '2');
  second.put('/etc/config/same', 'same');
  source.use(second.tunnel);
  await until(() => textOf(inRoot(files, 'etc/config/a')) === '2', 'the next pod’s file arrives');
  assert.equal(statSync(inRoot(files, 'etc/config/same')).ino, ino);
  second.put('/etc/config/a', '3');
  second.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/a')) === '3', 'the next pod’s change arrives');
  assert.deepEqual(warnings, []);
});

test('a pod that is lost in the middle of the first copy is gone on without', async () => {
  const first = makePod('web-1');
  const second = makePod('web-2');
  const source = new SourceDouble(first.tunnel);
  for (const pod of [first, second]) pod.put('/etc/config/a', pod.name);
  first.onFile = async () => {
    await first.close();
    source.use(second.tunnel);
  };
  const files = await start(source);
  assert.equal(textOf(inRoot(files, 'etc/config/a')), 'web-2');
});

test('a session that is ended while it copies leaves nothing', async () => {
  const pod = makePod();
  const abort = new AbortController();
  pod.put('/etc/config/a', '1');
  pod.onFile = () => abort.abort(new Error('Ctrl-C'));
  await assert.rejects(start(pod, { signal: abort.signal }), /Ctrl-C/);
  assert.deepEqual(leftFiles(), []);
});

test('close ends a refresh that is under way and removes the folder; again it does nothing', async () => {
  const pod = makePod();
  pod.put('/etc/config/a', '1');
  const files = await start(pod);
  const stuck = new Promise<void>((resolve) => {
    pod.onFile = () => {
      resolve();
      return new Promise(() => {});
    };
  });
  pod.put('/etc/config/a', '2');
  pod.tellChanged();
  await stuck;
  await Promise.all([files.close(), files.close()]);
  await assert.rejects(stat(files.root), { code: 'ENOENT' });
  assert.deepEqual(leftFiles(), []);
});
