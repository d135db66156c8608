import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { type LabelSelector, matchesLabels, matchesSelector, type Service } from '../../../cli/kube/objects.ts';
import { labelsTakenOut } from '../../../cli/kube/taken-out.ts';

const serviceOf = (selector: Record<string, string>): Service => ({ metadata: { name: 'web' }, spec: { selector } });

describe('the labels of a pod that is taken out', () => {
  test('lack the one that all selectors have in common, and no other', () => {
    const labels = { app: 'web', track: 'stable', team: 'shop' };
    const left = labelsTakenOut(labels, { matchLabels: { app: 'web', track: 'stable' } }, [serviceOf({ app: 'web' })]);
    assert.deepEqual(left, { track: 'stable', team: 'shop' });
  });

  test('lack as many as there are selectors without a common one', () => {
    const labels = { app: 'web', public: 'yes', team: 'shop' };
    const left = labelsTakenOut(labels, { matchLabels: { app: 'web' } }, [
      serviceOf({ public: 'yes' }),
      serviceOf({ app: 'other' }),
    ]);
    assert.deepEqual(left, { team: 'shop' });
  });

  test('stay as they are where nobody selects the pod', () => {
    assert.deepEqual(labelsTakenOut({ app: 'web' }, { matchLabels: { app: 'other' } }, []), { app: 'web' });
  });

  test('cannot be had where a selector asks for what a pod must not have', () => {
    const selector: LabelSelector = { matchExpressions: [{ key: 'canary', operator: 'DoesNotExist' }] };
    assert.equal(labelsTakenOut({ app: 'web' }, selector, []), undefined);
  });

  test('are selected by nobody, whatever the selectors are, or are given up', () => {
    const some = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('x', 'y'), {
      maxKeys: 3,
      noNullPrototype: true,
    });
    fc.assert(
      fc.property(some, some, fc.array(some, { maxLength: 3 }), (labels, matchLabels, selectors) => {
        const services = selectors.map(serviceOf);
        const left = labelsTakenOut(labels, { matchLabels }, services);
        if (left === undefined) {
          assert.deepEqual(matchLabels, {});
          return;
        }
        assert.ok(!matchesSelector({ matchLabels }, left));
        assert.ok(services.every(({ spec }) => !matchesLabels(spec.selector, left)));
        for (const [key, value] of Object.entries(left)) assert.equal(labels[key], value);
      }),
    );
  });
});
