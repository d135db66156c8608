import type { Condition, Filter } from '../filter.ts';
import type { RequestHead } from '../routing.ts';
import { personalValue } from './personal.ts';
import { hostOf, queryValue } from './texts.ts';
import { hasValue, type Values, valuesOf } from './values.ts';

/** What a condition looks at. Two conditions on the same subject look at the same text. */
export interface Subject {
  /** `header:x-user`, `path`. */
  readonly key: string;
  /** Undefined where the request has none: then no condition on it holds. */
  read(head: RequestHead): string | undefined;
}

export interface CompiledCondition {
  readonly subject: Subject;
  readonly values: Values;
}

/** All of them must hold. */
export type Conjunction = readonly CompiledCondition[];

/** A filter ready to be asked and compared. */
export interface CompiledFilter {
  readonly filter: Filter;
  /** One of them must hold: `all` is one, `any` one for each condition. */
  readonly conjunctions: readonly Conjunction[];
  matches(head: RequestHead): boolean;
}

/** @throws InterceptorError USAGE_BAD_OPTION: a bad regular expression */
export function compileFilter(filter: Filter): CompiledFilter {
  const conditions = filter.conditions.map(compileCondition);
  const conjunctions = filter.match === 'all' ? [conditions] : conditions.map((condition) => [condition]);
  return {
    filter,
    conjunctions,
    matches: (head) => conjunctions.some((conjunction) => holds(conjunction, head)),
  };
}

export function holds(conjunction: Conjunction, head: RequestHead): boolean {
  for (const { subject, values } of conjunction) {
    const value = subject.read(head);
    if (value === undefined || !hasValue(values, value)) return false;
  }
  return true;
}

function compileCondition(condition: Condition): CompiledCondition {
  if (condition.on === 'personal')
    return { subject: subjectOf(condition), values: { kind: 'exact', value: condition.value } };
  return { subject: subjectOf(condition), values: valuesOf(condition.match) };
}

function subjectOf(condition: Condition): Subject {
  switch (condition.on) {
    case 'header': {
      const { name } = condition;
      return { key: `header:${name}`, read: (head) => head.header(name) };
    }
    case 'query': {
      const { name } = condition;
      return { key: `query:${name}`, read: (head) => queryValue(head.query, name) };
    }
    case 'personal': {
      const { key } = condition;
      return { key: `personal:${key}`, read: (head) => personalValue(head, key) };
    }
    case 'path':
      return { key: 'path', read: (head) => head.path };
    case 'method':
      return { key: 'method', read: (head) => head.method };
    case 'host':
      return { key: 'host', read: (head) => hostOf(head.authority) };
    default:
      return condition satisfies never;
  }
}
