import { access, chmod, copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { writeImages } from './images.ts';
import { buildKubernetes } from './kubernetes-build.ts';
import type { Layout } from './layout.ts';
import { withLock } from './lock.ts';
import { installBuildPackages, openArchive, unpackPackages } from './packages.ts';
import { note, step } from './progress.ts';

/** Unpacked rather than installed, so no etcd, containerd, Redis or PostgreSQL service ever starts on the machine. */
const NODE_PACKAGES = ['etcd-server', 'containerd', 'runc', 'containernetworking-plugins', 'tini', 'golang-1.19-go'];
const NODE_PROGRAMS = [
  'usr/bin/etcd',
  'usr/bin/containerd',
  'usr/bin/containerd-shim-runc-v2',
  'usr/bin/ctr',
  'usr/sbin/runc',
  'usr/bin/tini',
];
const IMAGE_PACKAGES = [
  ...['libc6', 'libstdc++6', 'libgcc-s1', 'busybox', 'perl-base', 'curl', 'wrk', 'nghttp2-client', 'iperf3'],
  ...['postgresql-15', 'postgresql-client-15', 'redis-server', 'redis-tools', 'nginx-light'],
];

/** Fills the cache with the cluster's programs and images, unless they are there. Each folder appears only when complete. */
export async function ensureCache(layout: Layout): Promise<void> {
  if ((await exists(layout.programsDir)) && (await exists(layout.imagesDir))) return;
  const onWait = () => note('waiting for another run that fills the cache');
  await withLock(join(layout.cacheDir, 'lock'), onWait, () => fillCache(layout));
}

async function fillCache(layout: Layout): Promise<void> {
  const needsPrograms = !(await exists(layout.programsDir));
  const needsImages = !(await exists(layout.imagesDir));
  if (!needsPrograms && !needsImages) return;
  await removeLeftovers(layout.cacheDir);
  const work = join(layout.cacheDir, `building-${process.pid}`);
  await mkdir(work, { recursive: true });
  const archive = await step('read the package lists of Debian', () => openArchive(join(work, 'apt')));
  const root = join(work, 'root');
  const names = [...(needsPrograms ? NODE_PACKAGES : []), ...IMAGE_PACKAGES];
  await step('fetch etcd, containerd and tools', () => unpackPackages(archive, names, root));
  if (needsImages) {
    const target = join(work, 'images');
    await step('make the images', () => writeImages(root, work, target));
    await rename(target, layout.imagesDir);
  }
  if (needsPrograms) {
    note('building Kubernetes once, about 8 minutes on two cores; it is kept for later runs');
    const target = join(work, 'programs');
    await installBuildPackages();
    await buildKubernetes(archive, join(root, 'usr/lib/go-1.19'), work, join(target, 'bin'));
    await copyNodePrograms(root, target);
    await rename(target, layout.programsDir);
  }
  await rm(work, { recursive: true, force: true });
}

async function copyNodePrograms(root: string, target: string): Promise<void> {
  for (const program of NODE_PROGRAMS) {
    await copyFile(join(root, program), join(target, 'bin', basename(program)));
    await chmod(join(target, 'bin', basename(program)), 0o755);
  }
  await mkdir(join(target, 'cni'));
  for (const plugin of ['bridge', 'host-local', 'loopback', 'portmap', 'ptp']) {
    await copyFile(join(root, 'usr/lib/cni', plugin), join(target, 'cni', plugin));
  }
}

async function removeLeftovers(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir)) {
    if (name.startsWith('building-')) await rm(join(cacheDir, name), { recursive: true, force: true }); // under the lock nobody else builds
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false, // ENOENT
  );
}
