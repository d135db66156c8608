/** A JSON value, as the API server sends it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [field: string]: Json };

/** One element of a list, found by its own fields: `{match: {name: 'app'}}`; `nth` (from 0) where several match. */
export interface ListStep {
  readonly match: Readonly<Record<string, string | number>>;
  readonly nth?: number;
}

/** A field of a map, or an element of a list. */
export type PathStep = string | ListStep;

/**
 * One change of one value, kept in our annotation until it is taken back. An absent `was` or `now` means that the value
 * does not exist on that side.
 */
export interface Change {
  readonly path: readonly PathStep[];
  readonly was?: Json;
  readonly now?: Json;
  /** How many of the containers above the value (nearest first) did not exist and were made for it. */
  readonly made?: number;
  /** Of a removed list element: the index it had, so that it comes back where it was; of an added one: where it is put. */
  readonly at?: number;
  /** The value is wholly ours (our sidecar, our volumes): taken back whatever it has become; `now` need not be kept. */
  readonly ours?: true;
}

/**
 * The change that brings the value at `path` to `now` (undefined: removes it).
 * @param object is only read
 * @returns undefined when the value is `now` already
 */
export function changeOf(object: unknown, path: readonly PathStep[], now: Json | undefined): Change | undefined {
  const { value: was, made, place } = lookUp(object, path);
  if (sameJson(was, now)) return undefined;
  return {
    path,
    ...(was === undefined ? {} : { was }),
    ...(now === undefined ? {} : { now }),
    ...(made === 0 || now === undefined ? {} : { made }),
    ...(now === undefined && typeof place === 'number' ? { at: place } : {}),
  };
}

/** The change that adds a value of our own, which goes away whatever others make of it meanwhile. */
export function ownChange(object: unknown, path: readonly PathStep[], now: Json, at?: number): Change {
  const { made } = lookUp(object, path);
  return { path, now, ours: true, ...(made === 0 ? {} : { made }), ...(at === undefined ? {} : { at }) };
}

/** What the annotation keeps of a change: of our own values only where they are. */
export function storedChange(change: Change): Change {
  if (change.ours === undefined) return change;
  const { now: _, ...rest } = change;
  return rest;
}

/** A copy of `object` with every change made, in order; containers on the way are made where missing. */
export function applyChanges<T>(object: T, changes: readonly Change[]): T {
  const copy: unknown = structuredClone(object);
  for (const change of changes) setAt(copy, change.path, change.now, change.now === undefined ? undefined : change.at);
  return copy as T;
}

/**
 * A copy of `object` with the changes taken back, last first: a value goes back to `was` only where it still is `now`
 * (somebody else's newer value stays), values of our own go, and containers made for them go when they are empty.
 */
export function revertChanges<T>(object: T, changes: readonly Change[]): T {
  const copy: unknown = structuredClone(object);
  for (const change of [...changes].reverse()) {
    const { value, parentExists } = lookUp(copy, change.path);
    if (change.ours === undefined && !sameJson(value, change.now)) continue;
    if (value === undefined && !parentExists) continue;
    setAt(copy, change.path, change.was, change.at);
    removeEmpty(copy, change.path, change.made ?? 0);
  }
  return copy as T;
}

/** A change of ours on whose value somebody else has put another since: it stays when the changes are taken back. */
export interface KeptChange {
  readonly path: readonly PathStep[];
  /** Before ours. */
  readonly was: Json | undefined;
  /** Ours. */
  readonly ours: Json | undefined;
  /** What it is now, and stays. */
  readonly theirs: Json | undefined;
}

/** What revertChanges() would leave because it is neither what we have made of it nor what it was. One for each path. Pure. */
export function keptChanges(object: unknown, changes: readonly Change[]): KeptChange[] {
  const kept = new Map<string, KeptChange>();
  const copy: unknown = structuredClone(object);
  for (const change of [...changes].reverse()) {
    const { value, parentExists } = lookUp(copy, change.path);
    if (change.ours !== undefined || (value === undefined && !parentExists)) continue;
    const key = pathText(change.path);
    if (sameJson(value, change.now)) setAt(copy, change.path, change.was, change.at);
    else if (sameJson(value, change.was)) kept.delete(key);
    else kept.set(key, { path: change.path, was: change.was, ours: kept.get(key)?.ours ?? change.now, theirs: value });
  }
  return [...kept.values()];
}

/**
 * The changes that are not in force any more although nobody has put anything new there: taken back, by whoever keeps the object
 * as it was; of our own values those that are gone. Of several changes of one value the last one counts. Pure.
 */
export function undoneChanges(object: unknown, changes: readonly Change[]): Change[] {
  const last = new Map(changes.map((change): [string, Change] => [pathText(change.path), change]));
  const first = new Map([...changes].reverse().map((change): [string, Change] => [pathText(change.path), change]));
  return [...last].flatMap(([key, change]) => {
    const { value, parentExists } = lookUp(object, change.path);
    if (change.ours !== undefined) return value === undefined ? [change] : [];
    const was = first.get(key)?.was;
    if (change.now === undefined) return value === undefined ? [] : [change]; // what we took out is in again
    const isBack = !sameJson(value, change.now) && sameJson(value, was) && (value !== undefined || parentExists);
    return isBack ? [change] : [];
  });
}

/** As the API server stores it: what is undefined is not there. */
export function asJson(value: object): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}

/** Deep equality of JSON values; undefined is equal to itself only, the order of a map's fields does not count. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => sameJson(item, b[index]));
  }
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  const fields = Object.keys(left);
  return (
    fields.length === Object.keys(right).length &&
    fields.every((field) => Object.hasOwn(right, field) && sameJson(left[field], right[field]))
  );
}

/** `spec.template.spec.containers[name=app].ports[containerPort=8080].name`, for people. */
export function pathText(path: readonly PathStep[]): string {
  return path
    .map((step, index) => {
      if (typeof step === 'string') return index === 0 ? step : `.${step}`;
      const keys = Object.entries(step.match).map(([key, value]) => `${key}=${value}`);
      return `[${keys.join(',')}]`;
    })
    .join('');
}

type Container = Record<string, unknown> | unknown[];

function isContainer(value: unknown): value is Container {
  return typeof value === 'object' && value !== null;
}

/** The place of a step in its container: a field's name or an index; undefined where the list has no such element. */
function placeOf(container: Container, step: PathStep): string | number | undefined {
  if (typeof step === 'string') return Array.isArray(container) ? undefined : step;
  if (!Array.isArray(container)) return undefined;
  let left = step.nth ?? 0;
  const keys = Object.entries(step.match);
  for (const [index, element] of container.entries()) {
    if (!isContainer(element) || Array.isArray(element)) continue;
    if (!keys.every(([key, value]) => element[key] === value)) continue;
    if (left-- === 0) return index;
  }
  return undefined;
}

function at(container: Container, place: string | number): unknown {
  if (typeof place === 'number') return (container as unknown[])[place];
  return Object.hasOwn(container, place) ? (container as Record<string, unknown>)[place] : undefined;
}

function lookUp(
  object: unknown,
  path: readonly PathStep[],
): { value: Json | undefined; made: number; parentExists: boolean; place?: string | number | undefined } {
  let current: unknown = object;
  for (const [index, step] of path.entries()) {
    if (!isContainer(current)) return { value: undefined, made: path.length - index, parentExists: false };
    const place = placeOf(current, step);
    const next = place === undefined ? undefined : at(current, place);
    if (index === path.length - 1) return { value: next as Json | undefined, made: 0, parentExists: true, place };
    current = next;
  }
  return { value: undefined, made: 0, parentExists: false };
}

function setAt(object: unknown, path: readonly PathStep[], value: Json | undefined, index?: number): void {
  let current: unknown = object;
  for (const [level, step] of path.entries()) {
    if (!isContainer(current)) return; // somebody put a scalar where our path goes on: theirs stays
    const place = placeOf(current, step);
    if (level === path.length - 1) put(current, step, place, structuredClone(value), index);
    else {
      let next = place === undefined ? undefined : at(current, place);
      if (next === undefined) {
        if (value === undefined) return;
        next = emptyFor(step, path[level + 1]);
        put(current, step, place, next);
      }
      current = next;
    }
  }
}

/** The container to be made at `step` so that `next` fits in; a made list element carries its key. */
function emptyFor(step: PathStep, next: PathStep | undefined): Container {
  if (typeof next === 'object') return [];
  return typeof step === 'object' ? { ...step.match } : {};
}

function put(
  container: Container,
  step: PathStep,
  place: string | number | undefined,
  value: unknown,
  index?: number,
): void {
  if (Array.isArray(container)) {
    if (typeof step === 'string') return;
    if (value === undefined) {
      if (typeof place === 'number') container.splice(place, 1);
    } else if (typeof place === 'number') container[place] = value;
    else container.splice(index ?? container.length, 0, value);
  } else if (typeof step === 'string') {
    if (value === undefined) delete container[step];
    // defineProperty: a field named __proto__ is a field like any other
    else Object.defineProperty(container, step, { value: value, writable: true, enumerable: true, configurable: true });
  }
}

/** Removes up to `levels` containers above the value, nearest first, as long as they are empty. */
function removeEmpty(object: unknown, path: readonly PathStep[], levels: number): void {
  for (let level = 1; level <= levels && level < path.length; level++) {
    const containerPath = path.slice(0, path.length - level);
    const { value } = lookUp(object, containerPath);
    if (!isContainer(value)) return;
    const step = containerPath.at(-1);
    const keys = typeof step === 'object' ? Object.keys(step.match).length : 0;
    if (Object.keys(value).length > keys) return;
    setAt(object, containerPath, undefined);
  }
}
