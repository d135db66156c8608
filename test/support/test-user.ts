import type { TestCluster, TestNamespace } from './cluster.ts';

const TOKEN_SECONDS = 3600;

/** A kubeconfig as far as tests change it; written as JSON, which is YAML. */
export interface TestKubeconfig {
  clusters: { name: string; cluster: Record<string, unknown> }[];
  users: { name: string; user: Record<string, unknown> }[];
  contexts: { name: string; context: Record<string, unknown> }[];
  'current-context': string;
}

/** One rule of a Role. */
export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/**
 * Makes a service account in the namespace and gives it a Role of these rules, or a ClusterRole by name, there.
 * @returns its bearer token
 */
export async function createUser(
  cluster: TestCluster,
  namespace: TestNamespace,
  name: string,
  rights: readonly Rule[] | { readonly clusterRole: string },
): Promise<string> {
  const rbac = 'rbac.authorization.k8s.io';
  const byName = 'clusterRole' in rights;
  const roleRef = {
    apiGroup: rbac,
    ...(byName ? { kind: 'ClusterRole', name: rights.clusterRole } : { kind: 'Role', name }),
  };
  await namespace.apply([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } },
    ...(byName ? [] : [{ apiVersion: `${rbac}/v1`, kind: 'Role', metadata: { name }, rules: rights }]),
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: { name },
      roleRef,
      subjects: [{ kind: 'ServiceAccount', name, namespace: namespace.name }],
    },
  ]);
  const request = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: TOKEN_SECONDS },
  };
  const path = `/api/v1/namespaces/${namespace.name}/serviceaccounts/${name}/token`;
  const answer = await cluster.kubectl(['create', '--raw', path, '-f', '-'], { input: JSON.stringify(request) });
  return JSON.parse(answer).status.token;
}
