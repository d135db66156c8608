import { InterceptorError } from '../../src/errors.ts';
import { ROLLOUT_HASH_LABEL } from './argo-rollouts.ts';
import { isHeadless, matchesLabels, type Service } from './objects.ts';

/**
 * The Services whose callers reach pods with these labels, headless ones among them. An ExternalName and a Service without
 * a selector have no pods of a workload.
 * @param labels of the workload's pod template
 */
export function servicesOf(
  services: readonly Service[],
  labels: Readonly<Record<string, string>> | undefined,
): Service[] {
  return services.filter(
    ({ spec }) => spec.type !== 'ExternalName' && matchesLabels(plainSelector(spec.selector), labels),
  );
}

/** A Service's selector without the hash by which Argo Rollouts points it at one ReplicaSet or another. */
export function plainSelector(selector: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const { [ROLLOUT_HASH_LABEL]: _hash, ...plain } = selector ?? {};
  return plain;
}

/**
 * Which of the Services that select a workload is meant: the named one, the only one, or the only one with an address of
 * its own (a StatefulSet has a headless one beside it).
 * @param wanted the --service options, of which each must be one of them; the first is the answer
 * @param main the Service that the workload itself names as the one for its callers (a Rollout's active or stable one)
 * @throws InterceptorError USAGE_BAD_OPTION
 */
export function chooseService(
  workload: string,
  services: readonly Service[],
  wanted: string | readonly string[] | undefined,
  main?: string,
): Service | undefined {
  const names = services.map(({ metadata }) => metadata.name).join(', ');
  const named = wanted === undefined ? [] : [wanted].flat();
  const found = named.map((name) => {
    const service = services.find(({ metadata }) => metadata.name === name);
    if (service !== undefined) return service;
    throw new InterceptorError('USAGE_BAD_OPTION', `service "${name}" does not select the pods of ${workload}`, {
      hint: services.length === 0 ? 'no Service does' : `these do: ${names}`,
    });
  });
  if (found.length > 0) return found[0];
  if (services.length <= 1) return services[0];
  const ofWorkload = services.find(({ metadata }) => metadata.name === main);
  if (ofWorkload !== undefined) return ofWorkload;
  const [withAddress, ...others] = services.filter((service) => !isHeadless(service));
  if (withAddress !== undefined && others.length === 0) return withAddress;
  const sameName = services.find(({ metadata }) => workload.endsWith(`/${metadata.name}`));
  throw new InterceptorError('USAGE_BAD_OPTION', `several Services select the pods of ${workload}: ${names}`, {
    hint: `say which: --service ${(sameName ?? services[0])?.metadata.name ?? ''} (repeated for the callers of several)`,
  });
}
