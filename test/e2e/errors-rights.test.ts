import { errorSuite, WITH_COMMAND, withUser } from '../support/error-suite.ts';
import { service, sleeper } from '../support/failing-workloads.ts';
import { createUser, type Rule, type TestKubeconfig } from '../support/test-user.ts';

/** Tokens of users with other rights than the developer's, by name. */
const tokens: Record<string, string> = {};

const READ: readonly Rule[] = [
  { apiGroups: [''], resources: ['services', 'pods', 'events'], verbs: ['get', 'list', 'watch'] },
  {
    apiGroups: ['apps'],
    resources: ['deployments', 'statefulsets', 'replicasets'],
    verbs: ['get', 'list', 'watch'],
  },
];
const WRITE_OBJECTS: Rule = {
  apiGroups: [''],
  resources: ['configmaps', 'secrets'],
  verbs: ['get', 'list', 'create', 'delete'],
};
const WRITE_CONFIG_MAPS: Rule = { ...WRITE_OBJECTS, resources: ['configmaps'] };
const PATCH: Rule = { apiGroups: ['apps'], resources: ['deployments'], verbs: ['patch'] };

const { cases } = await errorSuite(async (bench) => {
  const { cluster, namespace } = bench;
  const user = async (name: string, rights: Parameters<typeof createUser>[3]) => {
    tokens[name] = await createUser(cluster, namespace, name, rights);
    bench.secrets.add(tokens[name]);
  };
  await namespace.apply([sleeper(cluster.nodeImage, 'web'), service('web')]);
  await Promise.all([
    user('viewer', { clusterRole: 'view' }),
    user('stranger', []),
    user('no-patch', [...READ, WRITE_OBJECTS]),
    user('no-secrets', [...READ, WRITE_CONFIG_MAPS, PATCH]),
    user('reader', []),
  ]);
  const binding = ['clusterrolebinding', `${namespace.name}-reader`];
  const reader = `--serviceaccount=${namespace.name}:reader`;
  await namespace.kubectl(['create', ...binding, '--clusterrole=view', reader]);
  await namespace.rolledOut('deployment/web', 120_000);
  return async () => await namespace.kubectl(['delete', ...binding, '--ignore-not-found']);
});

function as(name: string): (config: TestKubeconfig) => TestKubeconfig {
  return (config) => withUser(config, { token: tokens[name] });
}

cases([
  {
    name: 'a user who may only read is told the right that is missing',
    args: ['web', '--port', '3000', ...WITH_COMMAND],
    kubeconfig: as('viewer'),
    code: 'CLUSTER_FORBIDDEN',
    message: /user "system:serviceaccount:errors-\w+:viewer" may not create (configmaps|secrets) in namespace "errors-/,
    hint: /Role: apiGroups \[""\], resources \["(configmaps|secrets)"\], verbs \["create"\]/,
  },
  {
    name: 'a user who may do nothing is told the first right that is missing',
    args: ['web'],
    kubeconfig: as('stranger'),
    code: 'CLUSTER_FORBIDDEN',
    message: /:stranger" may not get services in namespace "errors-/,
    hint: /resources \["services"\], verbs \["get"\]/,
  },
  {
    name: 'without the right to patch Deployments nothing is left of what was made before',
    args: ['web', '--port', '3000', ...WITH_COMMAND],
    kubeconfig: as('no-patch'),
    code: 'CLUSTER_FORBIDDEN',
    message: /:no-patch" may not patch deployments \(apps\) in namespace "errors-/,
    hint: /apiGroups \["apps"\], resources \["deployments"\], verbs \["patch"\]/,
  },
  {
    name: 'without the right to make Secrets nothing is left of what was made before',
    args: ['web', '--port', '3000', ...WITH_COMMAND],
    kubeconfig: as('no-secrets'),
    code: 'CLUSTER_FORBIDDEN',
    message: /:no-secrets" may not create secrets in namespace "errors-/,
    hint: /apiGroups \[""\], resources \["secrets"\], verbs \["create"\]/,
  },
  {
    name: 'another namespace than one’s own is forbidden, and named',
    args: ['web', '-n', 'kube-system'],
    code: 'CLUSTER_FORBIDDEN',
    message: /may not get services in namespace "kube-system"/,
    hint: /resources \["services"\]/,
  },
  {
    name: 'a namespace that does not exist is told from a Service that does not exist',
    args: ['web', '-n', 'nowhere'],
    kubeconfig: as('reader'),
    code: 'TARGET_NOT_FOUND',
    message: /namespace "nowhere" does not exist/,
    hint: /-n <namespace>/,
  },
]);
