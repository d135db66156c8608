// How the params of control requests are read: they are whatever the peer sent.
import { isRecord } from '../src/is-record.ts';
import { RequestFailure } from './request-failure.ts';

export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 1024;
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

export function record(params: unknown): Record<string, unknown> {
  if (!isRecord(params)) throw bad('no object');
  return params;
}

export function duration(value: unknown, name: string, maxMs: number): number {
  if (typeof value !== 'number' || !(value > 0)) throw bad(name);
  return Math.min(value, maxMs);
}

export function bad(what: string): RequestFailure {
  return new RequestFailure('BAD_PARAMS', `bad parameters: ${what}`);
}
