import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, cp, lstat, mkdir, readdir, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { run } from './exec.ts';

export const NODE_IMAGE = 'node:22-slim';
export const OLD_NODE_IMAGE = 'node:20-slim';
export const TOOLS_IMAGE = 'kube-intercept-tools:dev';
export const PAUSE_IMAGE = 'kube-intercept-pause:dev';

const USERS = { root: 0, node: 1000, postgres: 999, nobody: 65534 };
const TOOLS = [
  ...['usr/bin/curl', 'usr/bin/wrk', 'usr/bin/nghttp', 'usr/bin/h2load', 'usr/bin/iperf3', 'usr/sbin/nginx'],
  ...['usr/bin/redis-server', 'usr/bin/redis-cli', 'usr/bin/redis-benchmark'],
];
const POSTGRES = 'usr/lib/postgresql/15';
const POSTGRES_TOOLS = ['postgres', 'initdb', 'pg_ctl', 'psql', 'pgbench', 'pg_isready', 'createdb'];

/**
 * Writes `images.tar`, a docker-archive with every image the cluster runs, without a registry: stock Node 20 and 22 (from
 * the npm registry), a tools image, and the pause image.
 * @param debian a folder with unpacked Debian packages, from which programs and their libraries are copied
 */
export async function writeImages(debian: string, work: string, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  const layers = join(work, 'layers');
  const base = await writeLayer(layers, 'base', (root) => addBase(debian, root));
  const node22 = await writeLayer(layers, 'node22', (root) => addNode('22', work, root));
  const node20 = await writeLayer(layers, 'node20', (root) => addNode('20', work, root));
  const tools = await writeLayer(layers, 'tools', (root) => addTools(debian, root));
  const images: ImagePlan[] = [
    { name: PAUSE_IMAGE, layers: [base], command: ['/bin/sleep', '2147483647'] },
    { name: NODE_IMAGE, layers: [base, node22], command: ['node'] },
    { name: OLD_NODE_IMAGE, layers: [base, node20], command: ['node'] },
    { name: TOOLS_IMAGE, layers: [base, node22, tools], command: ['/bin/sh'] },
  ];
  const manifest = await Promise.all(
    images.map(async (image) => {
      const config = `${image.name.replace(/\W/g, '-')}.json`;
      await writeFile(join(layers, config), JSON.stringify(imageConfig(image)));
      return {
        Config: config,
        RepoTags: [`docker.io/library/${image.name}`],
        Layers: image.layers.map(({ file }) => basename(file)),
      };
    }),
  );
  await writeFile(join(layers, 'manifest.json'), JSON.stringify(manifest));
  const files = (await readdir(layers)).filter((name) => /\.(tar|json)$/.test(name));
  await run(['tar', '-C', layers, '-cf', join(target, 'images.tar'), ...files]);
}

interface Layer {
  readonly file: string;
  readonly digest: string;
}

interface ImagePlan {
  readonly name: string;
  readonly layers: readonly Layer[];
  readonly command: readonly string[];
}

function imageConfig(image: ImagePlan): unknown {
  return {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      Cmd: image.command,
      WorkingDir: '/',
    },
    rootfs: { type: 'layers', diff_ids: image.layers.map(({ digest }) => `sha256:${digest}`) },
  };
}

async function writeLayer(folder: string, name: string, fill: (root: string) => Promise<void>): Promise<Layer> {
  const root = join(folder, `${name}.root`);
  const file = join(folder, `${name}.tar`);
  await mkdir(root, { recursive: true });
  await fill(root);
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--sort=name', '--mtime=@0'];
  await run(['tar', '-C', root, ...owner, '-cf', file, '.']);
  await rm(root, { recursive: true });
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return { file, digest: hash.digest('hex') };
}

/** A shell with its tools, users, the libraries that Node loads, and Perl, which every Debian image of Node has (perl-base). */
async function addBase(debian: string, root: string): Promise<void> {
  await addBusybox(debian, root);
  for (const folder of ['home/node', 'root', 'proc', 'sys', 'dev', 'run', 'var', 'usr/local/bin', 'usr/bin', 'etc']) {
    await mkdir(join(root, folder), { recursive: true });
  }
  await symlink('/run', join(root, 'var/run'));
  await run(['mkdir', '-m', '1777', join(root, 'tmp'), join(root, 'var/tmp'), join(root, 'run/postgresql')]);
  const users = Object.entries(USERS);
  const line = ([name, id]: [string, number]) => `${name}:x:${id}:${id}::${home(name)}:/bin/sh\n`;
  await writeFile(join(root, 'etc/passwd'), users.map(line).join(''));
  await writeFile(join(root, 'etc/group'), users.map(([name, id]) => `${name}:x:${id}:\n`).join(''));
  await writeFile(join(root, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n');
  await writeFile(join(root, 'etc/services'), 'domain 53/tcp\ndomain 53/udp\nhttp 80/tcp\nhttps 443/tcp\n'); // for wrk
  await symlink('/bin/env', join(root, 'usr/bin/env'));
  const folder = await libraryFolder(debian);
  // What glibc loads only when a name is looked up, and what Node loads.
  for (const library of ['libnss_dns.so.2', 'libresolv.so.2', 'libdl.so.2', 'libpthread.so.0']) {
    await copyWithLibraries(debian, `lib/${folder}/${library}`, root);
  }
  await copyWithLibraries(debian, `usr/lib/${folder}/libstdc++.so.6`, root);
  await copyWithLibraries(debian, 'usr/bin/perl', root);
  const modules = `usr/lib/${folder}/perl-base`;
  await cp(join(debian, modules), join(root, modules), { recursive: true, verbatimSymlinks: true });
}

/** A shell and its tools. Note for tests: `wget -T` of Debian's busybox crashes; use curl or Node for deadlines. */
async function addBusybox(debian: string, root: string): Promise<void> {
  await copyWithLibraries(debian, 'bin/busybox', root);
  const applets = await run(['chroot', debian, '/bin/busybox', '--list']);
  for (const applet of applets.trim().split('\n')) {
    if (applet !== 'busybox') await symlink('busybox', join(root, 'bin', applet));
  }
}

function home(user: string): string {
  if (user === 'root') return '/root';
  return user === 'node' ? '/home/node' : '/tmp';
}

async function addNode(major: string, work: string, root: string): Promise<void> {
  const folder = join(work, `node-${major}`);
  await mkdir(folder, { recursive: true });
  const name = `node-linux-${process.arch === 'arm64' ? 'arm64' : 'x64'}@${major}`;
  await run(['npm', 'pack', '--silent', '--pack-destination', folder, name], { cwd: folder });
  const [archive] = await readdir(folder);
  if (archive === undefined) throw new Error(`npm pack ${name} wrote nothing`);
  await mkdir(join(root, 'usr/local'), { recursive: true });
  await run([
    'tar',
    '-C',
    join(root, 'usr/local'),
    '-xzf',
    join(folder, archive),
    '--strip-components=1',
    'package/bin/node',
  ]);
}

async function addTools(debian: string, root: string): Promise<void> {
  const postgres = POSTGRES_TOOLS.map((tool) => `${POSTGRES}/bin/${tool}`);
  for (const program of [...TOOLS, ...postgres]) await copyWithLibraries(debian, program, root);
  for (const extension of ['dict_snowball.so', 'plpgsql.so']) {
    await copyWithLibraries(debian, `${POSTGRES}/lib/${extension}`, root);
  }
  for (const folder of ['usr/share/postgresql/15', 'usr/share/zoneinfo/Etc', 'etc/nginx']) {
    await cp(join(debian, folder), join(root, folder), { recursive: true, verbatimSymlinks: true });
  }
  await mkdir(join(root, 'usr/local/bin'), { recursive: true });
  for (const tool of POSTGRES_TOOLS) await symlink(`/${POSTGRES}/bin/${tool}`, join(root, 'usr/local/bin', tool));
}

/** Copies a program or library and every library it loads at start, as the loader in `debian` itself resolves them. */
async function copyWithLibraries(debian: string, program: string, root: string): Promise<void> {
  const loader = process.arch === 'arm64' ? '/lib/ld-linux-aarch64.so.1' : '/lib64/ld-linux-x86-64.so.2';
  const listed = await run(['chroot', debian, loader, '--list', `/${program}`]);
  const libraries = [...listed.matchAll(/(?:=> |^\s+)(\/\S+)/gm)].map(([, path = '']) => path.slice(1));
  for (const file of [program, loader.slice(1), ...libraries]) await copyFollowing(debian, file, root);
}

/** Copies a file together with the links that lead to it. */
async function copyFollowing(from: string, file: string, to: string): Promise<void> {
  await mkdir(dirname(join(to, file)), { recursive: true });
  if (!(await lstat(join(from, file))).isSymbolicLink()) {
    await copyFile(join(from, file), join(to, file));
    return;
  }
  const link = await readlink(join(from, file));
  await rm(join(to, file), { force: true });
  await symlink(link, join(to, file));
  await copyFollowing(from, link.startsWith('/') ? link.slice(1) : join(dirname(file), link), to);
}

/** Debian's name for the machine's kind, such as x86_64-linux-gnu. */
async function libraryFolder(debian: string): Promise<string> {
  const found = (await readdir(join(debian, 'lib'))).find((name) => name.endsWith('-linux-gnu'));
  if (found === undefined) throw new Error(`no library folder in ${debian}/lib`);
  return found;
}
