import { posix } from 'node:path';
import { InterceptorError } from '../../src/errors.ts';
import type { TlsMaterial } from '../../src/protocol/control.ts';
import { isNotFound, type KubeClient, resourcePath } from '../kube/client.ts';

/** The keys of a Secret of type kubernetes.io/tls, and the names of its files where it is mounted. */
const CERTIFICATE = 'tls.crt';
const KEY = 'tls.key';

/**
 * What the agents end the callers' TLS with.
 * @param from a Secret's name; or, beginning with /, a folder in the app's volumes, which the agents read themselves
 * @throws InterceptorError TARGET_NOT_FOUND, USAGE_BAD_OPTION (not a certificate with its key), CLUSTER_*
 */
export async function readTlsFrom(client: KubeClient, namespace: string, from: string): Promise<TlsMaterial> {
  if (from.startsWith('/')) return { certificatePath: posix.join(from, CERTIFICATE), keyPath: posix.join(from, KEY) };
  const path = resourcePath({ apiVersion: 'v1', resource: 'secrets', namespace, name: from });
  const secret = await client.get(path).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
    throw new InterceptorError('TARGET_NOT_FOUND', `no secret "${from}" in namespace "${namespace}"`, {
      hint: 'for a folder of the pod, begin with a slash: --tls-from /etc/tls',
    });
  });
  const data = typeof secret.data === 'object' && secret.data !== null ? secret.data : {};
  const text = (key: string): string => {
    const value: unknown = Reflect.get(data, key);
    const decoded = typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : '';
    if (decoded.includes('-----BEGIN ')) return decoded;
    throw new InterceptorError('USAGE_BAD_OPTION', `secret "${from}" has no ${key} in PEM`, {
      hint: 'a Secret of type kubernetes.io/tls has tls.crt and tls.key',
    });
  };
  return { certificate: text(CERTIFICATE), key: text(KEY) };
}
