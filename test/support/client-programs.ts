// Client programs of every make, that a command on the laptop stands for: which of them reach the cluster unchanged?
import { createHash } from 'node:crypto';
import { access, chmod, cp, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../cluster/exec.ts';
import { readLayout } from '../cluster/layout.ts';
import { installClientPackages } from '../cluster/packages.ts';
import { C_CLIENT, GO_CLIENT, JAVA_CLASS, JAVA_CLIENT, NODE_CLIENT, PYTHON_CLIENT } from './client-sources.ts';

/** Makes a command that prints the answer to a GET. */
type Fetch = (url: string) => readonly string[];

export interface ClientPrograms {
  /** By make. */
  readonly fetch: Readonly<Record<'curl' | 'go' | 'java' | 'musl' | 'node' | 'python', Fetch>>;
}

let prepared: Promise<ClientPrograms> | undefined;

/** Installs and builds what is missing, once: the programs are kept beside the cluster's, and copied where a user can read them. */
export function useClientPrograms(): Promise<ClientPrograms> {
  prepared ??= prepare();
  return prepared;
}

async function prepare(): Promise<ClientPrograms> {
  await installClientPackages();
  const folder = await mkdtemp(join(tmpdir(), 'kube-intercept-clients-'));
  await cp(await build(), folder, { recursive: true });
  await chmod(folder, 0o755);
  return {
    fetch: {
      curl: (url) => ['curl', '--silent', '--show-error', '--max-time', '30', url],
      go: (url) => [join(folder, 'go-client'), url],
      java: (url) => ['java', '-XX:TieredStopAtLevel=1', '-cp', folder, JAVA_CLASS, url],
      musl: (url) => [join(folder, 'musl-client'), url],
      node: (url) => [process.execPath, '-e', NODE_CLIENT, url],
      python: (url) => ['/usr/bin/python3', '-c', PYTHON_CLIENT, url],
    },
  };
}

/** @returns the folder that holds the built programs; complete once it exists */
async function build(): Promise<string> {
  const { cacheDir } = readLayout();
  const hash = createHash('sha256').update(GO_CLIENT + JAVA_CLIENT + C_CLIENT);
  const folder = join(cacheDir, `clients-${process.arch}-${hash.digest('hex').slice(0, 12)}`);
  if (await isThere(folder)) return folder;
  await mkdir(cacheDir, { recursive: true });
  const work = await mkdtemp(join(cacheDir, 'clients-'));
  try {
    await Promise.all([buildGo(work), buildJava(work), buildMusl(work)]);
    await rename(work, folder);
  } catch (cause) {
    await rm(work, { recursive: true, force: true });
    if (!(await isThere(folder))) throw cause; // else: another run was first
  }
  return folder;
}

async function buildGo(work: string): Promise<void> {
  const source = join(work, 'client.go');
  await writeFile(source, GO_CLIENT);
  const env = { ...process.env, CGO_ENABLED: '0', GO111MODULE: 'off', GOFLAGS: '', GOCACHE: join(work, 'go-cache') };
  await run(['go', 'build', '-o', join(work, 'go-client'), source], { env, timeoutMs: 240_000 });
  await rm(env.GOCACHE, { recursive: true });
}

async function buildJava(work: string): Promise<void> {
  const source = join(work, `${JAVA_CLASS}.java`);
  await writeFile(source, JAVA_CLIENT);
  await run(['javac', '--release', '11', '-d', work, source], { timeoutMs: 120_000 });
}

async function buildMusl(work: string): Promise<void> {
  const source = join(work, 'client.c');
  await writeFile(source, C_CLIENT);
  await run(['musl-gcc', '-static', '-O1', '-o', join(work, 'musl-client'), source], { timeoutMs: 60_000 });
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false, // ENOENT: not built yet
  );
}
