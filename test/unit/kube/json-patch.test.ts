import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import type { JsonPatchOperation } from '../../../cli/kube/client.ts';
import { jsonPatch } from '../../../cli/kube/json-patch.ts';

/** RFC 6902 "add", "remove" and "replace", as the server does them. */
function apply(document: unknown, operations: readonly JsonPatchOperation[]): unknown {
  const root = { '': structuredClone(document) };
  for (const { op, path, value } of operations) {
    const steps = path.split('/').map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = steps.pop() ?? '';
    let target: unknown = root;
    for (const step of steps) target = (target as Record<string, unknown>)[step];
    if (Array.isArray(target)) {
      const index = Number(last);
      assert.ok(index >= 0 && index <= target.length - (op === 'add' ? 0 : 1), path);
      target.splice(index, op === 'add' ? 0 : 1, ...(op === 'remove' ? [] : [value]));
    } else {
      const map = target as Record<string, unknown>;
      assert.equal(Object.hasOwn(map, last), op !== 'add', path);
      if (op === 'remove') delete map[last];
      else map[last] = value;
    }
  }
  return root[''];
}

const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(1, 2, 'a', true, null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'a/b', '~', '~1'), tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
}));

test('the operations turn any value into any other', () => {
  fc.assert(
    fc.property(value, value, (before, after) => {
      assert.deepEqual(apply(before, jsonPatch(before, after)), after);
    }),
    { numRuns: 2000 },
  );
});

test('equal values need none, and an element put in or taken out needs one', () => {
  assert.deepEqual(jsonPatch({ a: [1] }, { a: [1] }), []);
  assert.deepEqual(jsonPatch([1, 3], [1, 2, 3]), [{ op: 'add', path: '/1', value: 2 }]);
  assert.deepEqual(jsonPatch([1, 2, 3], [1, 3]), [{ op: 'remove', path: '/1' }]);
});
