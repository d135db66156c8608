import { sameJson } from './changes.ts';
import type { JsonPatchOperation } from './client-types.ts';

/** RFC 6902 operations that turn `before` into `after`; both JSON values. Lists: common head and tail stay. Pure. */
export function jsonPatch(before: unknown, after: unknown, path = ''): JsonPatchOperation[] {
  if (sameJson(before, after)) return [];
  if (Array.isArray(before) && Array.isArray(after)) return listPatch(before, after, path);
  if (isMap(before) && isMap(after)) return mapPatch(before, after, path);
  return [{ op: 'replace', path, value: after }];
}

function mapPatch(before: Record<string, unknown>, after: Record<string, unknown>, path: string): JsonPatchOperation[] {
  const removed = Object.keys(before)
    .filter((field) => !Object.hasOwn(after, field))
    .map((field): JsonPatchOperation => ({ op: 'remove', path: `${path}/${escapeField(field)}` }));
  const rest = Object.keys(after).flatMap((field): JsonPatchOperation[] => {
    const at = `${path}/${escapeField(field)}`;
    if (!Object.hasOwn(before, field)) return [{ op: 'add', path: at, value: after[field] }];
    return jsonPatch(before[field], after[field], at);
  });
  return [...removed, ...rest];
}

function listPatch(before: readonly unknown[], after: readonly unknown[], path: string): JsonPatchOperation[] {
  if (before.length === after.length)
    return before.flatMap((item, index) => jsonPatch(item, after[index], `${path}/${index}`));
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && sameJson(before[head], after[head])) head++;
  let tail = 0;
  while (tail < shorter - head && sameJson(before.at(-1 - tail), after.at(-1 - tail))) tail++;
  const operations: JsonPatchOperation[] = [];
  const oldMiddle = before.slice(head, before.length - tail);
  const newMiddle = after.slice(head, after.length - tail);
  const paired = Math.min(oldMiddle.length, newMiddle.length);
  for (let index = 0; index < paired; index++)
    operations.push(...jsonPatch(oldMiddle[index], newMiddle[index], `${path}/${head + index}`));
  for (let index = oldMiddle.length - 1; index >= paired; index--)
    operations.push({ op: 'remove', path: `${path}/${head + index}` });
  for (const [index, value] of newMiddle.entries())
    if (index >= paired) operations.push({ op: 'add', path: `${path}/${head + index}`, value });
  return operations;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function escapeField(field: string): string {
  return field.replaceAll('~', '~0').replaceAll('/', '~1');
}
