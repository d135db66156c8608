import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { errorText, InterceptorError, systemErrorCode } from '../../src/errors.ts';
import type { MergedConfig } from './kubeconfig-merge.ts';

const SERVICE_ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface KubeconfigOptions {
  /** `--kubeconfig`: this file and no other. */
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  /** Instead of the context's. */
  readonly namespace?: string | undefined;
  /** Of this process unless given. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

export interface KubeconfigFile {
  readonly file: string;
  readonly text: string;
}

/**
 * Reads the files kubectl would read, in their order.
 * @returns files that exist, and where it looked
 * @throws InterceptorError KUBECONFIG_INVALID: an explicit file is missing, or any cannot be read
 */
export async function kubeconfigFiles(
  options: KubeconfigOptions,
): Promise<{ files: KubeconfigFile[]; looked: readonly string[] }> {
  const env = options.env ?? process.env;
  if (options.kubeconfig !== undefined) {
    const found = await readIfThere(options.kubeconfig);
    if (found === undefined) {
      throw new InterceptorError('KUBECONFIG_INVALID', `kubeconfig ${options.kubeconfig} does not exist`, {
        hint: 'check --kubeconfig',
      });
    }
    return { files: [found], looked: [options.kubeconfig] };
  }
  const listed = (env.KUBECONFIG ?? '').split(path.delimiter).filter((name) => name !== '');
  const looked = listed.length > 0 ? listed : [path.join(env.HOME ?? homedir(), '.kube', 'config')];
  const found = await Promise.all(looked.map(readIfThere));
  return { files: found.filter((file) => file !== undefined), looked };
}

/** The service account a pod runs as, or undefined outside a cluster. */
export async function inCluster(env: Readonly<Record<string, string | undefined>>): Promise<MergedConfig | undefined> {
  const host = env.KUBERNETES_SERVICE_HOST;
  const token = await readIfThere(`${SERVICE_ACCOUNT_FOLDER}/token`);
  if (host === undefined || host === '' || token === undefined) return undefined;
  const namespace = (await readIfThere(`${SERVICE_ACCOUNT_FOLDER}/namespace`))?.text.trim();
  const { KubeConfig } = await import('./k8s.ts');
  const config = new KubeConfig();
  const name = 'in-cluster';
  config.loadFromOptions({
    clusters: [
      {
        name,
        server: `https://${isIPv6(host) ? `[${host}]` : host}:${env.KUBERNETES_SERVICE_PORT ?? '443'}`,
        caFile: `${SERVICE_ACCOUNT_FOLDER}/ca.crt`,
        skipTLSVerify: false,
      },
    ],
    users: [{ name: 'service account' }],
    contexts: [{ name, cluster: name, user: 'service account', namespace }],
    currentContext: name,
  });
  const extras = new Map([
    ['service account', { tokenFile: `${SERVICE_ACCOUNT_FOLDER}/token`, folder: '/', fields: {} }],
  ]);
  return {
    config,
    users: extras,
    clusters: new Map(),
    broken: new Map(),
    empty: false,
    source: 'the pod’s service account',
  };
}

async function readIfThere(file: string): Promise<KubeconfigFile | undefined> {
  try {
    return { file, text: await readFile(file, 'utf8') };
  } catch (cause) {
    const code = systemErrorCode(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new InterceptorError('KUBECONFIG_INVALID', `kubeconfig ${file} cannot be read: ${code ?? errorText(cause)}`, {
      hint: code === 'EACCES' ? 'check the owner and mode of the file' : 'check the path',
      cause,
    });
  }
}
