import type { RequestHead } from '../routing.ts';
import { type CompiledCondition, type CompiledFilter, type Conjunction, holds, type Subject } from './match.ts';
import { conditionsTogether, isMoreSpecific } from './order.ts';

export interface TableEntry<T> {
  readonly filter: CompiledFilter;
  readonly value: T;
  /** Decides last; the smaller number was claimed first. */
  readonly order: number;
}

/** A conjunction without the condition that it was found by. */
interface Candidate {
  /** Place of its filter in the order. */
  readonly rank: number;
  readonly rest: Conjunction;
}

/** Conjunctions that have a condition on one subject, by what it says. */
interface Bucket {
  readonly subject: Subject;
  readonly exact: Map<string, Candidate[]>;
  /** Of paths: those under each. */
  readonly under: Map<string, Candidate[]>;
  longestUnder: number;
}

/**
 * The filters of one port. A request costs a look at each subject that filters name (one for 250 filters on one header),
 * and one more comparison for every filter that has no exact condition and no path.
 */
export class FilterTable<T> {
  /** Most specific first: containment, then conditions that hold together, then the claim's order. */
  readonly #values: readonly T[];
  readonly #buckets: readonly Bucket[];
  /** What has to be tried one by one, in order. */
  readonly #rest: readonly Candidate[];

  constructor(entries: readonly TableEntry<T>[]) {
    const sorted = mostSpecificFirst(entries);
    this.#values = sorted.map(({ value }) => value);
    const index = new Index(sorted.map(({ filter }) => filter));
    this.#buckets = index.buckets;
    this.#rest = index.rest;
  }

  get size(): number {
    return this.#values.length;
  }

  /** The value of the most specific filter that matches. */
  lookup(head: RequestHead): T | undefined {
    let best = Number.POSITIVE_INFINITY;
    for (const candidates of this.#found(head))
      for (const { rank, rest } of candidates) {
        if (rank >= best) break; // they are in order
        if (holds(rest, head)) best = rank;
      }
    return this.#values[best];
  }

  /** The values of all filters that match, most specific first. */
  all(head: RequestHead): T[] {
    const ranks = new Set<number>();
    for (const candidates of this.#found(head))
      for (const { rank, rest } of candidates) if (!ranks.has(rank) && holds(rest, head)) ranks.add(rank);
    return [...ranks].sort((a, b) => a - b).flatMap((rank) => this.#values.slice(rank, rank + 1));
  }

  *#found(head: RequestHead): Iterable<readonly Candidate[]> {
    for (const bucket of this.#buckets) {
      const value = bucket.subject.read(head);
      if (value === undefined) continue;
      const exact = bucket.exact.get(value);
      if (exact !== undefined) yield exact;
      if (bucket.under.size > 0) yield* foldersOf(bucket, value);
    }
    if (this.#rest.length > 0) yield this.#rest;
  }
}

/** The candidates of the path and of each folder above it. */
function* foldersOf({ under, longestUnder }: Bucket, path: string): Iterable<readonly Candidate[]> {
  for (let slash = path.indexOf('/'); slash >= 0 && slash <= longestUnder; slash = path.indexOf('/', slash + 1)) {
    const candidates = under.get(path.slice(0, slash));
    if (candidates !== undefined) yield candidates;
  }
  const itself = path === '' || path.length > longestUnder ? undefined : under.get(path);
  if (itself !== undefined) yield itself;
}

/** Finds for each conjunction the condition by which it is found fastest. */
class Index {
  readonly rest: Candidate[] = [];
  readonly #buckets = new Map<string, Bucket>();

  constructor(filters: readonly CompiledFilter[]) {
    const popularity = new Map<string, number>();
    const conditions = filters.flatMap(({ conjunctions }) => conjunctions.flat());
    for (const { subject, values } of conditions)
      if (values.kind === 'exact') popularity.set(subject.key, (popularity.get(subject.key) ?? 0) + 1);
    for (const [rank, { conjunctions }] of filters.entries())
      for (const conjunction of conjunctions) this.#add(rank, conjunction, popularity);
  }

  get buckets(): readonly Bucket[] {
    return [...this.#buckets.values()];
  }

  #add(rank: number, conjunction: Conjunction, popularity: ReadonlyMap<string, number>): void {
    const score = ({ subject, values }: CompiledCondition): number => {
      // Each subject in use costs every request a look: the one that most filters share is best.
      if (values.kind === 'exact') return 1 + (popularity.get(subject.key) ?? 0);
      return values.kind === 'under' ? 1 : 0;
    };
    let by: CompiledCondition | undefined;
    for (const condition of conjunction) if (score(condition) > (by === undefined ? 0 : score(by))) by = condition;
    const candidate = { rank, rest: conjunction.filter((condition) => condition !== by) };
    if (by?.values.kind === 'exact') push(this.#bucket(by.subject).exact, by.values.value, candidate);
    else if (by?.values.kind === 'under') {
      const bucket = this.#bucket(by.subject);
      push(bucket.under, by.values.path, candidate);
      bucket.longestUnder = Math.max(bucket.longestUnder, by.values.path.length);
    } else this.rest.push(candidate);
  }

  #bucket(subject: Subject): Bucket {
    let bucket = this.#buckets.get(subject.key);
    if (bucket === undefined) {
      bucket = { subject, exact: new Map(), under: new Map(), longestUnder: 0 };
      this.#buckets.set(subject.key, bucket);
    }
    return bucket;
  }
}

/** A filter goes before all that contain it; of those that may go next, the one with most conditions, then the oldest. */
function mostSpecificFirst<T>(entries: readonly TableEntry<T>[]): readonly TableEntry<T>[] {
  const waiting = [...entries].sort(
    (a, b) => conditionsTogether(b.filter) - conditionsTogether(a.filter) || a.order - b.order,
  );
  const before = containedIn(waiting);
  const placed = new Set<TableEntry<T>>();
  while (placed.size < waiting.length) {
    const next = waiting.find(
      (entry) => !placed.has(entry) && (before.get(entry) ?? []).every((other) => placed.has(other)),
    );
    if (next === undefined) break; // cannot be: containment has no circles
    placed.add(next);
  }
  return [...placed];
}

/**
 * For each entry those that are contained in it. Not every pair is compared: with 250 filters that would hold up the agent at
 * every claim. What contains a filter has a condition on one of its subjects; an exact one has the same value, a folder is one of its own.
 */
function containedIn<T>(entries: readonly TableEntry<T>[]): Map<TableEntry<T>, TableEntry<T>[]> {
  const byCondition = new Map<string, TableEntry<T>[]>();
  for (const entry of entries)
    for (const [condition] of entry.filter.conjunctions)
      if (condition !== undefined) push(byCondition, placeOf(condition), entry);
  const contained = new Map<TableEntry<T>, TableEntry<T>[]>();
  for (const entry of entries) {
    const conditions = entry.filter.conjunctions[0] ?? [];
    const places = conditions.flatMap(containersOf);
    const containers = new Set(places.flatMap((place) => byCondition.get(place) ?? []));
    for (const container of containers)
      if (isMoreSpecific(entry.filter, container.filter)) push(contained, container, entry);
  }
  return contained;
}

function placeOf({ subject, values }: CompiledCondition): string {
  if (values.kind === 'exact') return `${subject.key}=${values.value}`;
  return values.kind === 'under' ? `${subject.key}<${values.path}` : subject.key;
}

/** The places of all that may contain a condition. */
function containersOf(condition: CompiledCondition): string[] {
  const { subject, values } = condition;
  const places = [placeOf(condition), subject.key];
  if (values.kind === 'regex' || values.kind === 'any') return places;
  const path = values.kind === 'under' ? values.path : values.value;
  places.push(`${subject.key}<${path}`);
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1))
    places.push(`${subject.key}<${path.slice(0, slash)}`);
  return places;
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
