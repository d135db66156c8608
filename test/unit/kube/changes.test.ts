import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import {
  applyChanges,
  type Change,
  changeOf,
  type Json,
  ownChange,
  type PathStep,
  pathText,
  revertChanges,
  sameJson,
  storedChange,
} from '../../../cli/kube/changes.ts';

const fieldName = fc.constantFrom('a', 'b', 'c', 'spec', 'ports', '__proto__', 'constructor');
const elementName = fc.constantFrom('x', 'y', 'z');
const scalar = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constantFrom('p', 'q'), fc.boolean(), fc.constant(null));
/** Objects of maps, scalars and lists of named elements, as Kubernetes objects are. */
const { node } = fc.letrec<{ node: Json; map: Json; list: Json }>((tie) => ({
  node: fc.oneof({ maxDepth: 3 }, scalar, tie('map'), tie('list')),
  map: fc.dictionary(fieldName, tie('node'), { maxKeys: 3, noNullPrototype: true }),
  list: fc
    .uniqueArray(elementName, { maxLength: 3 })
    .chain((names) =>
      fc.tuple(
        ...names.map((name) =>
          fc.dictionary(fieldName, tie('node'), { maxKeys: 2, noNullPrototype: true }).map((map) => ({ ...map, name })),
        ),
      ),
    ),
}));
const anyObject = fc.dictionary(fieldName, node, { maxKeys: 4, noNullPrototype: true });
const anyStep: fc.Arbitrary<PathStep> = fc.oneof(
  fieldName,
  elementName.map((name) => ({ match: { name } })),
);
// Lists of lists do not occur in Kubernetes objects and have no keys.
const anyPath = fc
  .array(anyStep, { minLength: 1, maxLength: 5 })
  .filter((path) => path.every((step, index) => typeof step === 'string' || typeof path[index - 1] === 'string'));

/** Changes as the planner makes them: each from the object as the ones before left it; an element keeps its name. */
function planned(
  object: unknown,
  wishes: readonly { path: PathStep[]; now: Json | undefined; ours: boolean }[],
): Change[] {
  const changes: Change[] = [];
  let current = object;
  for (const { path, now, ours } of wishes) {
    if (!fits(current, path)) continue;
    const last = path.at(-1);
    let value = now;
    if (typeof last === 'object' && now !== undefined)
      value = { ...(typeof now === 'object' && !Array.isArray(now) ? now : {}), ...last.match };
    const absent = changeOf(current, path, undefined) === undefined;
    const change =
      ours && absent && value !== undefined ? ownChange(current, path, value) : changeOf(current, path, value);
    if (change === undefined) continue;
    changes.push(change);
    current = applyChanges(current, [change]);
  }
  return changes;
}

/** Whether the path meets maps with fields and lists with elements (missing ones are made). */
function fits(object: unknown, path: readonly PathStep[]): boolean {
  let current: unknown = object;
  for (const step of path) {
    if (current === undefined) continue;
    if (typeof current !== 'object' || current === null) return false;
    if (Array.isArray(current) !== (typeof step === 'object')) return false;
    if (typeof step === 'string')
      current = Object.hasOwn(current, step) ? (current as Record<string, unknown>)[step] : undefined;
    else current = (current as { name?: unknown }[]).find((element) => element.name === step.match.name);
  }
  return true;
}

const anyWish = fc.record({ path: anyPath, now: fc.option(node, { nil: undefined }), ours: fc.boolean() });

test('taking back all changes gives the object before them, whatever the object and the changes', () => {
  fc.assert(
    fc.property(anyObject, fc.array(anyWish, { maxLength: 6 }), (object, wishes) => {
      const changes = planned(object, wishes);
      const changed = applyChanges(object, changes);
      assert.deepEqual(revertChanges(changed, changes), object);
      assert.deepEqual(revertChanges(changed, changes.map(storedChange)), object);
      assert.deepEqual(revertChanges(changed, JSON.parse(JSON.stringify(changes)) as Change[]), object);
    }),
    { numRuns: 2000 },
  );
});

test('changes reach the value they name and the object given is not touched', () => {
  fc.assert(
    fc.property(anyObject, anyPath, node, (object, path, now) => {
      fc.pre(fits(object, path) && typeof path.at(-1) === 'string');
      const before = structuredClone(object);
      const change = changeOf(object, path, now);
      const after = change === undefined ? object : applyChanges(object, [change]);
      assert.equal(changeOf(after, path, now), undefined);
      assert.deepEqual(object, before);
    }),
  );
});

test('a value that somebody else changed meanwhile is kept', () => {
  const object = {
    spec: {
      ports: [
        { port: 80, targetPort: 8080 },
        { port: 81, targetPort: 8081 },
      ],
    },
  };
  const changes = [80, 81].map(
    (port) => changeOf(object, ['spec', 'ports', { match: { port } }, 'targetPort'], 9901) as Change,
  );
  const theirs = applyChanges(object, changes);
  const port = theirs.spec.ports[0];
  assert.ok(port);
  port.targetPort = 3000;
  assert.deepEqual(revertChanges(theirs, changes), {
    spec: {
      ports: [
        { port: 80, targetPort: 3000 },
        { port: 81, targetPort: 8081 },
      ],
    },
  });
});

test('a value of our own goes even when others changed it, and so does the list made for it', () => {
  const object: { spec: { volumes?: unknown[] } } = { spec: {} };
  const change = ownChange(object, ['spec', 'volumes', { match: { name: 'ours' } }], { name: 'ours', configMap: {} });
  const changed = applyChanges(object, [change]);
  assert.deepEqual(changed, { spec: { volumes: [{ name: 'ours', configMap: {} }] } });
  changed.spec.volumes = [{ name: 'ours', configMap: { defaultMode: 420 } }];
  assert.deepEqual(revertChanges(changed, [storedChange(change)]), object);
});

test('a list that we made and that others used meanwhile stays with their elements', () => {
  const object: { spec: { volumes?: unknown[] } } = { spec: {} };
  const change = ownChange(object, ['spec', 'volumes', { match: { name: 'ours' } }], { name: 'ours' });
  const changed = applyChanges(object, [change]);
  changed.spec.volumes?.push({ name: 'theirs' });
  assert.deepEqual(revertChanges(changed, [change]), { spec: { volumes: [{ name: 'theirs' }] } });
});

test('a list that was empty before stays empty rather than vanish', () => {
  const object = { ports: [] };
  const change = ownChange(object, ['ports', { match: { name: 'x' } }], { name: 'x' });
  assert.deepEqual(revertChanges(applyChanges(object, [change]), [change]), object);
});

test('what was removed altogether by others is not made again', () => {
  const object = { containers: [{ name: 'app', port: 'http' }] };
  const change = changeOf(object, ['containers', { match: { name: 'app' } }, 'port'], 'ki-http');
  assert.ok(change);
  assert.deepEqual(revertChanges({ containers: [] }, [change]), { containers: [] });
});

test('the second of two elements with the same key is reached by its number', () => {
  const object = {
    ports: [
      { containerPort: 80, name: 'a' },
      { containerPort: 80, name: 'b' },
    ],
  };
  const change = changeOf(object, ['ports', { match: { containerPort: 80 }, nth: 1 }, 'name'], 'c');
  assert.ok(change);
  assert.deepEqual(applyChanges(object, [change]).ports[1], { containerPort: 80, name: 'c' });
  assert.deepEqual(revertChanges(applyChanges(object, [change]), [change]), object);
});

test('paths are shown with the keys of their list elements', () => {
  assert.equal(
    pathText(['spec', 'containers', { match: { name: 'app' } }, 'image']),
    'spec.containers[name=app].image',
  );
});

test('equality ignores the order of fields and nothing else', () => {
  assert.ok(sameJson({ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 }));
  assert.ok(!sameJson([1, 2], [2, 1]));
  assert.ok(!sameJson({ a: undefined }, { b: undefined }));
  assert.ok(!sameJson({}, []));
});
