import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Bump when what is kept in the cache changes. */
const PROGRAMS_REVISION = 1;
const IMAGES_REVISION = 3;
export const KUBERNETES_VERSION = '1.20.2';
const DEFAULT_STATE = '/var/lib/kube-intercept-cluster';

export const NODE_NAME = 'intercept-node';
export const POD_CIDR = '10.244.0.0/16';
export const SERVICE_CIDR = '10.96.0.0/16';
export const KUBERNETES_SERVICE_IP = '10.96.0.1';
export const DNS_SERVICE_IP = '10.96.0.10';
export const CLUSTER_DOMAIN = 'cluster.local';
export const DNS_PORT = 10053;
export const API_PORT = 6443;
/** Of 127.0.0.1 on the node. */
export const POD_SECURITY_PORT = 10443;
export const ETCD_URL = 'http://127.0.0.1:2379';

/** As many laptops as can be up at once; the API server's certificate is valid for each of their relay addresses. */
export const MAX_LAPTOPS = 64;

/** Address of the relay for laptop `index`: the host side of its /30. */
export function laptopHostAddress(index: number): string {
  return `10.224.0.${index * 4 + 1}`;
}

/** The laptop's own address in the same /30. */
export function laptopAddress(index: number): string {
  return `10.224.0.${index * 4 + 2}`;
}

/**
 * The node is a mount, network and process namespace of its own, so it sees the two folders it needs at fixed places,
 * and everything else it makes disappears with it.
 */
export const INSIDE = { state: '/run/intercept/state', cache: '/run/intercept/cache' } as const;

/** Where one cluster lives on this machine. */
export interface Layout {
  readonly stateDir: string;
  readonly cacheDir: string;
  /** Folder inside `cacheDir` that is complete once it exists. */
  readonly programsDir: string;
  readonly imagesDir: string;
  readonly lockFile: string;
  readonly kubeconfig: string;
  readonly hostLink: string;
  readonly hostAddress: string;
  readonly nodeAddress: string;
  readonly apiUrl: string;
  readonly cgroup: string;
}

/** Derives every path and address from the environment; a second cluster needs only another INTERCEPT_CLUSTER_STATE. */
export function readLayout(env: NodeJS.ProcessEnv = process.env): Layout {
  const stateDir = env.INTERCEPT_CLUSTER_STATE || DEFAULT_STATE;
  const cacheDir = join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'kube-intercept');
  const id = instanceId(stateDir);
  const nodeAddress = `10.223.${id}.2`;
  return {
    stateDir,
    cacheDir,
    programsDir: join(cacheDir, `programs-${KUBERNETES_VERSION}-${PROGRAMS_REVISION}`),
    imagesDir: join(cacheDir, `images-${IMAGES_REVISION}`),
    lockFile: `/run/lock/kube-intercept-cluster-${id}.lock`,
    kubeconfig: join(stateDir, 'admin.kubeconfig'),
    hostLink: `intercept${id}`,
    hostAddress: `10.223.${id}.1`,
    nodeAddress,
    apiUrl: `https://${nodeAddress}:${API_PORT}`,
    cgroup: `kube-intercept-${id}`,
  };
}

/** 0 for the default state folder, 1 … 250 for any other. */
function instanceId(stateDir: string): number {
  if (stateDir === DEFAULT_STATE) return 0;
  return 1 + (createHash('sha256').update(stateDir).digest().readUInt32BE(0) % 250);
}
