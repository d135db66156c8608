import { readFile, realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import { AGENT_VOLUMES_DIR } from '../../src/protocol/agent-config.ts';

/** Where admission mounts tokens into every container, the agent's too: the cluster's, and those of clouds. */
const SECRETS_DIR = '/var/run/secrets';

/** One of the app's mounts as the agent sees it. */
export interface VolumeRoot {
  /** The app's path: `/etc/config`. A subPath mount may be a file. */
  readonly path: string;
  /** Where it is in the agent's container, links resolved. */
  readonly place: string;
}

/** Where to look; tests name other places. */
export interface VolumePlaces {
  readonly mountInfo: string;
  readonly volumesDir: string;
  readonly secretsDir: string;
}

export const POD_VOLUME_PLACES: VolumePlaces = {
  mountInfo: '/proc/self/mountinfo',
  volumesDir: AGENT_VOLUMES_DIR,
  secretsDir: SECRETS_DIR,
};

/**
 * The mount points in a mountinfo table, in the order of mounting.
 * @param table proc_pid_mountinfo(5): the fifth field, with space, tab, newline and backslash as \ooo
 */
export function parseMountPoints(table: string): string[] {
  return table.split('\n').flatMap((line) => {
    const point = line.split(' ')[4];
    if (point === undefined || !point.startsWith('/')) return [];
    return [point.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))];
  });
}

/**
 * The app's mounts among `points`. What lies under `volumesDir` is the app's by its own path; a mount of admission's under
 * `secretsDir` is what the app has at the same path, unless the app has something of its own there.
 * @param secretsPlace where `secretsDir` really is: /var/run is a link in most images
 */
export function volumeRoots(points: readonly string[], places: VolumePlaces, secretsPlace: string): VolumeRoot[] {
  const below = (dir: string, point: string): string | undefined =>
    point.startsWith(`${dir}/`) ? point.slice(dir.length) : undefined;
  const roots = new Map<string, VolumeRoot>();
  for (const place of points) {
    const rest = below(secretsPlace, place);
    if (rest !== undefined) roots.set(places.secretsDir + rest, { path: places.secretsDir + rest, place });
  }
  for (const place of points) {
    const path = below(places.volumesDir, place);
    if (path !== undefined) roots.set(path, { path, place });
  }
  return [...roots.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The app's mounts now; none where there is no mountinfo. */
export async function readVolumeRoots(places: VolumePlaces): Promise<VolumeRoot[]> {
  const table = await readFile(places.mountInfo, 'utf8').catch(() => ''); // ENOENT: no Linux
  const secretsPlace = await realpath(places.secretsDir).catch(() => places.secretsDir); // ENOENT: no token
  return volumeRoots(parseMountPoints(table), places, secretsPlace);
}

/** The root an app's path lies in, the innermost of several. */
export function rootOf(roots: readonly VolumeRoot[], path: string): VolumeRoot | undefined {
  let innermost: VolumeRoot | undefined;
  for (const root of roots) {
    const inside = path === root.path || path.startsWith(root.path === '/' ? '/' : `${root.path}/`);
    if (inside && root.path.length >= (innermost?.path.length ?? 0)) innermost = root;
  }
  return innermost;
}

/** Where an app's path is in the agent's container; undefined when it is in no volume. The path is normalized. */
export function placeOf(roots: readonly VolumeRoot[], path: string): string | undefined {
  const root = rootOf(roots, path);
  return root === undefined ? undefined : posix.join(root.place, path.slice(root.path.length));
}
