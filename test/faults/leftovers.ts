// What a session leaves behind, in the cluster and on the laptop: one line for each thing that is not as it was.
import { waitFor } from '../cluster/exec.ts';
import { type LaptopState, laptopState } from '../support/laptop-state.ts';
import type { Scene } from '../support/scene.ts';
import type { Objects } from './fault.ts';
import { AGENT_CONTAINER, podsOf } from './node.ts';
import { OBJECTS, WORKLOAD } from './setting.ts';

/** A restore begins when the session's claims have run out, and ends with a rollout. */
const PATIENCE_MS = 150_000;
const POLL_MS = 1_000;

export async function objectsOf(scene: Scene): Promise<Objects> {
  const objects = await scene.snapshot(...OBJECTS);
  return Object.fromEntries(OBJECTS.map((name, index) => [name, objects[index]]));
}

/** Waits until nothing is left in the namespace. @returns what is, when it does not go */
export async function clusterLeftovers(scene: Scene, expected: Objects): Promise<readonly string[]> {
  return await emptied(async () => {
    const [now, names, pods] = await Promise.all([objectsOf(scene), scene.leftovers(), podsOf(scene, WORKLOAD)]);
    const withAgent = pods.filter(({ spec }) => spec.containers.some(({ name }) => name === AGENT_CONTAINER));
    return [
      ...OBJECTS.flatMap((name) => differences(expected[name], now[name], name)),
      ...names.split('\n').filter((name) => name !== ''),
      ...withAgent.map(({ metadata }) => `pod/${metadata.name} with the agent`),
    ];
  });
}

/** Waits until the laptop is as it was. @param variable `NAME=value` in the environment of what the cell started there */
export async function laptopLeftovers(scene: Scene, variable: string, before: LaptopState): Promise<readonly string[]> {
  return await emptied(async () => {
    const now = await laptopState(scene.laptop, variable);
    return Object.keys(now).flatMap((subject) => {
      const was = new Set(before[subject]);
      const is = new Set(now[subject]);
      const more = [...is].filter((line) => !was.has(line)).map((line) => `laptop: ${subject}: + ${line}`);
      const less = [...was].filter((line) => !is.has(line)).map((line) => `laptop: ${subject}: - ${line}`);
      return [...more, ...less];
    });
  });
}

async function emptied(find: () => Promise<readonly string[]>): Promise<readonly string[]> {
  let found: readonly string[] = ['never seen'];
  const isEmpty = async (): Promise<true | undefined> => {
    // A folder went, or the API server, while it was asked.
    found = await find().catch((error: unknown) => [`cannot be told: ${String(error)}`]);
    return found.length === 0 ? true : undefined;
  };
  const onTimeout = (): Error => new Error('left');
  await waitFor(isEmpty, { timeoutMs: PATIENCE_MS, intervalMs: POLL_MS, onTimeout }).catch(() => {}); // told by `found`
  return found;
}

/** Paths at which two JSON values differ. */
function differences(expected: unknown, actual: unknown, path: string): string[] {
  if (isObject(expected) && isObject(actual)) {
    const keys = new Set([...Object.keys(expected), ...Object.keys(actual)]);
    return [...keys].flatMap((key) => differences(expected[key], actual[key], `${path}.${key}`));
  }
  const [was, is] = [JSON.stringify(expected), JSON.stringify(actual)];
  return was === is ? [] : [`${path}: ${short(is)}, not ${short(was)}`];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function short(json: string | undefined): string {
  return (json ?? 'nothing').slice(0, 120);
}
