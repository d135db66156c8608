import type { TestNamespace } from './cluster.ts';

interface SecretList {
  readonly items: readonly { readonly metadata: { readonly name: string }; readonly data: Record<string, string> }[];
}

/** What the agent's Secret holds. @param secrets all Secrets of the namespace, of which one is an agent's */
export function parseAgentSecret(secrets: unknown): {
  readonly key: string;
  readonly tlsKey: string;
  readonly name: string;
} {
  const { items } = secrets as SecretList;
  const [secret, ...others] = items.filter(({ metadata }) => metadata.name.startsWith('kube-intercept-'));
  if (secret === undefined || others.length > 0) throw new Error(`not one agent's Secret: ${items.length} Secrets`);
  const text = (name: string): string => Buffer.from(secret.data[name] ?? '', 'base64').toString();
  return { key: text('key'), tlsKey: text('tls.key'), name: secret.metadata.name };
}

/**
 * What we wrote into the cluster where more people read than Secrets: our annotations, ConfigMaps and events. Objects hold
 * what their owner has written there, too, so annotations are taken out of them.
 */
export async function textsOfCluster(namespace: TestNamespace): Promise<Record<string, string>> {
  const selector = ['-l', 'app.kubernetes.io/managed-by=kube-intercept'];
  const annotation = '{.metadata.annotations.kube-intercept\\.dev/intercept}';
  return {
    ConfigMaps: await namespace.kubectl(['get', 'configmaps', ...selector, '-o', 'yaml']),
    annotation: await namespace.kubectl(['get', 'deployment/web', '-o', `jsonpath=${annotation}`]),
    events: await namespace.kubectl(['get', 'events', '-o', 'yaml']),
  };
}
