import { InterceptorError } from '../../src/errors.ts';
import { isRecord } from '../../src/is-record.ts';
import { AGENT_CODE_FILE } from '../../src/protocol/agent-config.ts';
import type { KubeMetadata, KubeObject } from './client-types.ts';
import type { AgentCredentials } from './credentials.ts';
import { INSTALL_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from './names.ts';
import type { InstallRecord } from './record.ts';

/** Of all ConfigMap data together (API server's MaxSecretSize and the same for ConfigMaps). */
const MAX_DATA_BYTES = 1024 * 1024;

/** The label selector of everything we create in a namespace. */
export const MANAGED_SELECTOR = `${MANAGED_BY_LABEL}=${MANAGED_BY}`;

/**
 * The ConfigMap with the agent's code. Immutable: the kubelet need not watch it.
 * @param owner the workload or pod as stored, so that the ConfigMap goes with it
 * @throws InterceptorError INTERNAL when the code is over 1 MiB
 */
export function codeConfigMap(owner: KubeObject, record: InstallRecord, code: string): KubeObject {
  if (Buffer.byteLength(code) > MAX_DATA_BYTES)
    throw new InterceptorError(
      'INTERNAL',
      `the agent's code has ${Buffer.byteLength(code)} bytes, over a ConfigMap's limit`,
    );
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadata(owner, record, record.configMap),
    immutable: true,
    data: { [AGENT_CODE_FILE]: code },
  };
}

/** The Secret with the agent's credentials. */
export function credentialsSecret(owner: KubeObject, record: InstallRecord, credentials: AgentCredentials): KubeObject {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadata(owner, record, record.secret),
    type: 'Opaque',
    immutable: true,
    data: {
      key: base64(credentials.key),
      'tls.key': base64(credentials.tlsKey),
      'tls.crt': base64(credentials.tlsCert),
    },
  };
}

/** @throws InterceptorError INTERNAL naming the missing key */
export function parseCredentials(secret: KubeObject): AgentCredentials {
  const data = isRecord(secret.data) ? secret.data : {};
  const read = (key: string): string => {
    const value = data[key];
    if (typeof value !== 'string')
      throw new InterceptorError('INTERNAL', `secret "${secret.metadata.name}" has no ${key}: it is not an agent's`);
    return Buffer.from(value, 'base64').toString();
  };
  return { key: read('key'), tlsKey: read('tls.key'), tlsCert: read('tls.crt') };
}

function metadata(owner: KubeObject, record: InstallRecord, name: string): KubeMetadata {
  const { namespace, uid } = owner.metadata;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [INSTALL_LABEL]: record.installId },
    // blockOwnerDeletion is left out: it asks for a right on the owner's finalizers where that admission plug-in is on
    ownerReferences: [
      {
        apiVersion: owner.apiVersion ?? 'apps/v1',
        kind: owner.kind ?? '',
        name: owner.metadata.name,
        uid: uid ?? '',
      },
    ],
  };
}
