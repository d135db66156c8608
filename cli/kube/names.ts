import { createHash, randomBytes } from 'node:crypto';

/** The sidecar's container name; also how a pod that carries the agent is recognised. */
export const AGENT_CONTAINER = 'kube-intercept-agent';
/** The init container that redirects the app's ports to the agent (mode redirect). */
export const REDIRECT_CONTAINER = 'kube-intercept-redirect';
export const CODE_VOLUME = 'kube-intercept-code';
export const CREDENTIALS_VOLUME = 'kube-intercept-credentials';
/** On workloads: an InstallRecord; on Services: a RetargetRecord. */
export const INTERCEPT_ANNOTATION = 'kube-intercept.dev/intercept';
export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by';
export const MANAGED_BY = 'kube-intercept';
export const INSTALL_LABEL = 'kube-intercept.dev/install';
/** On a pod that was taken out of its ReplicaSet to be deleted: the ReplicaSet's uid, and beside it the annotation with its name. */
export const TAKEN_OUT_LABEL = 'kube-intercept.dev/taken-out';
export const TAKEN_OUT_ANNOTATION = 'kube-intercept.dev/taken-out-of';
export const DEFAULT_TUNNEL_PORT = 9900;

const MAX_OBJECT_NAME = 253;
const MAX_PORT_NAME = 15;
const MAX_LABEL = 63;

/** The first 10 hexadecimal digits of a text's SHA-256: enough to name a version of the agent's code. */
export function contentHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 10);
}

/** 8 lower-case hexadecimal digits; fits a label and an object name. */
export function newInstallId(): string {
  return randomBytes(4).toString('hex');
}

/**
 * Names of one install's ConfigMap and Secret. The install id is part of both: two installs that follow each other
 * never share an object, so the end of the first cannot delete what the second uses.
 */
export function objectNames(
  workload: string,
  codeHash: string,
  installId: string,
): { configMap: string; secret: string } {
  const tail = `-${codeHash}-${installId}`;
  const head = `kube-intercept-${workload}`.slice(0, MAX_OBJECT_NAME - tail.length);
  return { configMap: `${head}${tail}`, secret: `${head}${tail}` };
}

/** `kube-intercept-ann-1a2b3c4d`: a pod's name is its host name, of 63 characters at most. */
export function ownPodName(user: string, installId: string): string {
  const tail = `-${installId}`;
  const plain = user.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  const head = `kube-intercept-${plain}`.slice(0, MAX_LABEL - tail.length).replace(/-+$/, '');
  return `${head}${tail}`;
}

/**
 * A port name (IANA_SVC_NAME: 15 characters of a-z, 0-9 and single inner hyphens) for the app's port whose name the
 * agent takes: `ki-http`, or `ki-http-2` where that is taken.
 */
export function freePortName(name: string, taken: ReadonlySet<string>): string {
  for (let count = 1; ; count++) {
    const tail = count === 1 ? '' : `-${count}`;
    const head = `ki-${name}`.slice(0, MAX_PORT_NAME - tail.length).replace(/-+$/, '');
    const candidate = `${head}${tail}`;
    if (!taken.has(candidate)) return candidate;
  }
}
