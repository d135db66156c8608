import { access, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, tryRun } from './exec.ts';
import { ClusterError, note } from './progress.ts';

/** The Debian release whose packages hold Kubernetes' whole source and a Go that builds it. */
const RELEASE = 'bookworm';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Commands the machine itself needs, and their packages. None of these packages starts a service. */
const HOST_COMMANDS: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  iptables: 'iptables',
  conntrack: 'conntrack',
  openssl: 'openssl',
  flock: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  mount: 'mount',
  nft: 'nftables',
  python3: 'python3',
};
const BUILD_COMMANDS: Readonly<Record<string, string>> = {
  make: 'make',
  rsync: 'rsync',
  jq: 'jq',
  'dpkg-source': 'dpkg-dev',
};
/** What stands for a developer's command, and the compilers of those that no package has. None starts a service. */
const CLIENT_COMMANDS: Readonly<Record<string, string>> = {
  curl: 'curl',
  dig: 'bind9-dnsutils',
  psql: 'postgresql-client',
  'redis-cli': 'redis-tools',
  python3: 'python3',
  go: 'golang-go',
  javac: 'default-jdk-headless',
  'musl-gcc': 'musl-tools',
};

/** Installs what `up` and the laptop need, if it is missing. */
export async function installHostPackages(): Promise<void> {
  await installFor(HOST_COMMANDS);
}

/** Installs what only the build of Kubernetes needs, if it is missing. */
export async function installBuildPackages(): Promise<void> {
  await installFor(BUILD_COMMANDS);
}

/** Installs the clients of test/support/client-programs.ts, if they are missing. */
export async function installClientPackages(): Promise<void> {
  await installFor(CLIENT_COMMANDS);
}

const POSTGRES_FOLDER = '/usr/lib/postgresql';

/**
 * Installs PostgreSQL if it is missing, without the server that the package would start.
 * @returns the folder of its programs: initdb, postgres, …
 */
export async function installPostgres(): Promise<string> {
  const find = async (): Promise<string | undefined> => {
    const versions = await readdir(POSTGRES_FOLDER).catch(() => []); // ENOENT: not installed
    return versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(POSTGRES_FOLDER, version, 'bin'))[0];
  };
  const there = await find();
  if (there !== undefined) return there;
  await installFor({ pg_createcluster: 'postgresql-common' });
  await mkdir('/etc/postgresql-common/createcluster.d', { recursive: true });
  await writeFile('/etc/postgresql-common/createcluster.d/no-main.conf', 'create_main_cluster = false\n');
  await installFor({ pg_ctl_of_any_version: 'postgresql' });
  const installed = await find();
  if (installed === undefined) throw new Error(`the package postgresql brought nothing to ${POSTGRES_FOLDER}`);
  return installed;
}

async function installFor(commands: Readonly<Record<string, string>>): Promise<void> {
  const missing = new Set<string>();
  for (const [command, name] of Object.entries(commands)) {
    if (!(await isCommand(command))) missing.add(name);
  }
  if (missing.size === 0) return;
  note(`installing ${[...missing].join(', ')}`);
  const install = ['apt-get', '-oDPkg::Lock::Timeout=120', 'install', '-y', '--no-install-recommends', ...missing];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  if ((await tryRun(install, { env })).code === 0) return;
  await run(['apt-get', 'update'], { env }); // the lists are absent or too old
  await run(install, { env });
}

async function isCommand(name: string): Promise<boolean> {
  const folders = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`.split(':');
  for (const folder of folders) {
    const found = await access(join(folder, name)).then(
      () => true,
      () => false, // ENOENT: not in this folder
    );
    if (found) return true;
  }
  return false;
}

/** Debian's package lists, kept in a folder of their own: what apt knows about the machine is neither used nor changed. */
export interface Archive {
  readonly folder: string;
  readonly aptOptions: readonly string[];
}

/** Reads the package lists of RELEASE, sources included, from wherever this machine gets its Debian packages. */
export async function openArchive(folder: string): Promise<Archive> {
  const uri = await debianUri();
  await mkdir(join(folder, 'lists/partial'), { recursive: true });
  await mkdir(join(folder, 'archives/partial'), { recursive: true });
  await writeFile(join(folder, 'status'), ''); // nothing counts as installed, so every dependency is fetched
  const signed = await access(KEYRING).then(
    () => `[signed-by=${KEYRING}] `,
    () => '', // ENOENT: the keys are where apt looks by itself
  );
  const line = `${signed}${uri} ${RELEASE} main`;
  await writeFile(join(folder, 'sources.list'), `deb ${line}\ndeb-src ${line}\n`);
  const aptOptions = [
    `-oDir::Etc::sourcelist=${folder}/sources.list`,
    '-oDir::Etc::sourceparts=/dev/null',
    `-oDir::State::lists=${folder}/lists`,
    `-oDir::State::status=${folder}/status`,
    `-oDir::Cache::archives=${folder}/archives`,
    '-oDir::Cache::pkgcache=',
    '-oDir::Cache::srcpkgcache=',
    '-oAPT::Sandbox::User=root', // the folder belongs to root alone
    '-oAcquire::Retries=3',
  ];
  const archive = { folder, aptOptions };
  await run(['apt-get', ...aptOptions, 'update']);
  return archive;
}

async function debianUri(): Promise<string> {
  const format = ['--format', '$(REPO_URI) $(CODENAME) $(COMPONENT)', 'Created-By: Packages'];
  const read = async () =>
    (await run(['apt-get', 'indextargets', ...format])).split('\n').map((line) => line.split(' '));
  let targets = await read();
  if (!targets.some(([, codename]) => codename)) {
    await run(['apt-get', 'update']); // a fresh image has no lists, so it knows no code names yet
    targets = await read();
  }
  // Another Debian release than RELEASE is served from the same address.
  const found =
    targets.find(([, codename, component]) => codename === RELEASE && component === 'main') ??
    targets.find(([uri, , component]) => component === 'main' && uri?.includes('/debian/'));
  if (found?.[0]) return found[0];
  throw new ClusterError(
    `no Debian ${RELEASE} among this machine's package sources`,
    'use another cluster: set INTERCEPT_TEST_KUBECONFIG',
    3,
  );
}

/** Unpacks packages and all they depend on below `root`, running none of their scripts. */
export async function unpackPackages(archive: Archive, names: readonly string[], root: string): Promise<void> {
  const options = [...archive.aptOptions, '-y', '--no-install-recommends', '--download-only'];
  await run(['apt-get', ...options, 'install', ...names], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  await mkdir(root, { recursive: true });
  const archives = join(archive.folder, 'archives');
  for (const file of (await readdir(archives)).filter((name) => name.endsWith('.deb'))) {
    await run(['dpkg-deb', '-x', join(archives, file), root]);
  }
}

/** Fetches and unpacks a source package into `target`. */
export async function unpackSource(archive: Archive, name: string, target: string): Promise<void> {
  const folder = join(archive.folder, 'source');
  await mkdir(folder, { recursive: true });
  await run(['apt-get', ...archive.aptOptions, 'source', '--download-only', name], { cwd: folder });
  const description = (await readdir(folder)).find((file) => file.endsWith('.dsc'));
  if (description === undefined) throw new Error(`apt-get source ${name} brought no .dsc file`);
  await run(['dpkg-source', '--no-check', '-x', join(folder, description), target]); // apt checked the signed hashes
}
