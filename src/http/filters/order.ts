import type { CompiledFilter, Conjunction } from './match.ts';
import { disjointValues, impliesValues } from './values.ts';

/** Whether it is certain that no request matches both. */
export function disjoint(a: CompiledFilter, b: CompiledFilter): boolean {
  return a.conjunctions.every((one) => b.conjunctions.every((other) => disjointConjunctions(one, other)));
}

/** Whether it is certain that every request that matches a matches b. */
export function implies(a: CompiledFilter, b: CompiledFilter): boolean {
  return a.conjunctions.every((one) => b.conjunctions.some((other) => impliesConjunction(one, other)));
}

/** Whether a is certain to be contained in b, and b not in a. */
export function isMoreSpecific(a: CompiledFilter, b: CompiledFilter): boolean {
  return implies(a, b) && !implies(b, a);
}

/** Whether they cannot both be on one port: a request may match both, and neither is more specific than the other. */
export function conflict(a: CompiledFilter, b: CompiledFilter): boolean {
  return !disjoint(a, b) && implies(a, b) === implies(b, a);
}

/** Whether no request can match. */
export function isNever(filter: CompiledFilter): boolean {
  return filter.conjunctions.every((conjunction) => disjointConjunctions(conjunction, conjunction));
}

/** For sort(): the one that goes first is smaller. Containment, then the number of conditions that hold together; 0 for the rest. */
export function compareSpecificity(a: CompiledFilter, b: CompiledFilter): number {
  if (isMoreSpecific(a, b)) return -1;
  if (isMoreSpecific(b, a)) return 1;
  return conditionsTogether(b) - conditionsTogether(a);
}

/** How many conditions a request that matches is certain to fulfil. */
export function conditionsTogether({ conjunctions }: CompiledFilter): number {
  return Math.min(...conjunctions.map((conjunction) => conjunction.length));
}

function disjointConjunctions(a: Conjunction, b: Conjunction): boolean {
  return a.some((one) =>
    b.some((other) => one.subject.key === other.subject.key && disjointValues(one.values, other.values)),
  );
}

function impliesConjunction(a: Conjunction, b: Conjunction): boolean {
  return b.every((wanted) =>
    a.some((given) => given.subject.key === wanted.subject.key && impliesValues(given.values, wanted.values)),
  );
}
