import { InterceptorError } from '../../src/errors.ts';
import { createAccess } from './kubeconfig-access.ts';
import { inCluster, type KubeconfigOptions, kubeconfigFiles } from './kubeconfig-files.ts';
import { type MergedConfig, mergeFiles } from './kubeconfig-merge.ts';
import type { KubeAccess } from './kubeconfig-types.ts';

export type { KubeconfigOptions } from './kubeconfig-files.ts';
export type { Credentials, KubeAccess, KubeTls } from './kubeconfig-types.ts';

/**
 * Finds the cluster as kubectl does: --kubeconfig, else the KUBECONFIG list, else ~/.kube/config, else the pod's service
 * account.
 * @param options.context instead of the current context
 * @throws InterceptorError KUBECONFIG_INVALID naming the file and what is wrong in it
 */
export async function loadKubeConfig(options: KubeconfigOptions = {}): Promise<KubeAccess> {
  const env = options.env ?? process.env;
  const { files, looked } = await kubeconfigFiles(options);
  const merged = await mergeFiles(files);
  if (merged.config.contexts.length === 0 && options.context === undefined) {
    const pod = options.kubeconfig === undefined ? await inCluster(env) : undefined;
    if (pod !== undefined) return createAccess(pod, options.namespace, env);
    throw nothingFound(files, looked, merged);
  }
  return createAccess(select(merged, options.context), options.namespace, env);
}

/** Makes `wanted`, or the first current-context, the context of the configuration. */
function select(merged: MergedConfig, wanted: string | undefined): MergedConfig {
  const name = wanted ?? merged.config.currentContext;
  const names = merged.config.contexts.map((context) => context.name);
  const existing = names.length === 0 ? 'it has no contexts' : `contexts: ${names.join(', ')}`;
  if (name === undefined || name === '') {
    throw new InterceptorError('KUBECONFIG_INVALID', `no current-context in ${merged.source}`, {
      hint: `choose with --context or kubectl config use-context; ${existing}`,
    });
  }
  if (!names.includes(name)) {
    const broken = merged.broken.get(name);
    if (broken !== undefined)
      throw new InterceptorError('KUBECONFIG_INVALID', broken, { hint: `fix it or use another; ${existing}` });
    throw new InterceptorError('KUBECONFIG_INVALID', `no context "${name}" in ${merged.source}`, { hint: existing });
  }
  merged.config.currentContext = name;
  return merged;
}

function nothingFound(
  files: readonly { file: string }[],
  looked: readonly string[],
  merged: MergedConfig,
): InterceptorError {
  const how = 'name a kubeconfig with --kubeconfig or KUBECONFIG, or fetch one from your cluster’s provider';
  const places = looked.join(', ');
  if (files.length === 0)
    return new InterceptorError('KUBECONFIG_INVALID', `no kubeconfig: ${places} does not exist`, { hint: how });
  const broken = [...merged.broken.values()][0];
  if (broken !== undefined) return new InterceptorError('KUBECONFIG_INVALID', broken, { hint: how });
  const what = merged.empty ? 'is empty' : 'has no contexts';
  return new InterceptorError('KUBECONFIG_INVALID', `kubeconfig ${places} ${what}`, { hint: how });
}
