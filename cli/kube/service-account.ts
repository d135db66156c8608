import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Credentials, KubeAccess } from './kubeconfig-types.ts';

const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';
/** As client-go at most: the kubelet renews the file long before the token ends. */
const TOKEN_CACHE_MS = 60_000;

/**
 * The cluster as the pod that this runs in is let into it. Without the parser of kubeconfigs, which is most of what a program
 * here would hold.
 * @throws InterceptorError KUBECONFIG_INVALID outside of a pod, or in one without a token
 */
export async function serviceAccountAccess(
  env: NodeJS.ProcessEnv = process.env,
  folder: string = FOLDER,
): Promise<KubeAccess> {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (host === '') throw invalid('this is no pod: KUBERNETES_SERVICE_HOST is not set');
  const read = async (name: string): Promise<string> => {
    try {
      return await readFile(`${folder}/${name}`, 'utf8');
    } catch (cause) {
      throw invalid(`the pod's service account has no ${name}: ${errorText(cause)}`);
    }
  };
  const [ca, namespace] = await Promise.all([read('ca.crt'), read('namespace')]);
  let cached: { readonly credentials: Credentials; readonly untilMs: number } | undefined;
  const credentials = async (): Promise<Credentials> => {
    if (cached === undefined || performance.now() >= cached.untilMs) {
      const token = (await read('token')).trim();
      const made = { authorization: `Bearer ${token}`, cert: undefined, key: undefined };
      cached = { credentials: made, untilMs: performance.now() + TOKEN_CACHE_MS };
    }
    return cached.credentials;
  };
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    namespace: namespace.trim(),
    contextName: 'in-cluster',
    clusterName: 'in-cluster',
    userName: 'service account',
    source: 'in-cluster service account',
    tls: { ca, cert: undefined, key: undefined, servername: undefined, rejectUnauthorized: true },
    headers: {},
    proxyUrl: undefined,
    userKind: `token file ${folder}/token`,
    credentials,
    authorization: async () => (await credentials()).authorization,
    forgetCredentials: (refused) => {
      if (cached?.credentials === refused) cached = undefined;
      return true;
    },
  };
}

function invalid(message: string): InterceptorError {
  return new InterceptorError('KUBECONFIG_INVALID', message, {
    hint: 'this runs in a pod with a service account: see deploy/janitor/janitor.yaml',
  });
}
