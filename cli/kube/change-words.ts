import { type Change, changeOf, pathText } from './changes.ts';
import { INTERCEPT_ANNOTATION } from './names.ts';

/**
 * What changes do to an object, in words for people: `adds container kube-intercept-agent, 2 volumes; renames port http of
 * container app to ki-http`. Pure.
 * @param before the object as it is now: a change that it has already is not told
 * @param asides by a Service's port: what is to be said of it besides
 */
export function changeWords(
  before: object,
  changes: readonly Change[],
  asides: ReadonlyMap<number, string> = new Map(),
): string {
  const own = changes.filter(({ ours }) => ours === true);
  const others = changes.filter(
    ({ path, now, ours }) => ours === undefined && changeOf(before, path, now) !== undefined,
  );
  const added = addedWords(own);
  return [...(added === '' ? [] : [`adds ${added}`]), ...others.map((change) => wordsOf(change, asides))].join('; ');
}

function addedWords(own: readonly Change[]): string {
  const lists = new Map<string, string[]>();
  for (const { path } of own) {
    const step = path.at(-1);
    const list = path.at(-2);
    if (typeof step !== 'object' || typeof list !== 'string') continue;
    lists.set(list, [...(lists.get(list) ?? []), String(step.match.name)]);
  }
  const containers = (lists.get('containers') ?? []).map((name) => `container ${name}`);
  const initContainers = (lists.get('initContainers') ?? []).map((name) => `init container ${name}`);
  const volumes = lists.get('volumes') ?? [];
  const isAnnotated = own.some(({ path }) => path.at(-1) === INTERCEPT_ANNOTATION);
  return [
    ...containers,
    ...initContainers,
    ...(volumes.length === 0 ? [] : [`${volumes.length} volumes`]),
    ...(isAnnotated ? [`annotation ${INTERCEPT_ANNOTATION}`] : []),
  ].join(', ');
}

function wordsOf({ path, was, now }: Change, asides: ReadonlyMap<number, string>): string {
  const last = path.at(-1);
  const names = path.flatMap((step) => (typeof step === 'object' ? [step.match] : []));
  const [container] = names.flatMap(({ name }) => name ?? []);
  if (container !== undefined && path.at(-2) === 'containers' && now === undefined)
    return `takes container ${container} out, whose place the agent has`;
  if (container !== undefined && last === 'name' && path.at(-3) === 'ports')
    return `renames port ${valueText(was)} of container ${container} to ${valueText(now)}`;
  if (container !== undefined && last === 'port') {
    // …containers[name=app].readinessProbe.httpGet.port
    const user = path.slice(path.findIndex((step) => typeof step === 'object') + 1, -2);
    return `points ${pathText(user)} of container ${container} to port ${valueText(now)}`;
  }
  if (container !== undefined && last === 'preStop' && was === undefined)
    return `gives container ${container} a preStop hook that the agent answers`;
  const [servicePort] = names.flatMap(({ port }) => port ?? []);
  if (servicePort !== undefined && last === 'targetPort') {
    const aside = asides.get(Number(servicePort));
    return `points port ${servicePort} to the agent, ${valueText(now)} (was ${valueText(was)})${aside === undefined ? '' : `, ${aside}`}`;
  }
  return now === undefined
    ? `removes ${pathText(path)}`
    : `sets ${pathText(path)} to ${valueText(now)} (was ${valueText(was)})`;
}

function valueText(value: Change['was']): string {
  if (value === undefined) return 'unset';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
