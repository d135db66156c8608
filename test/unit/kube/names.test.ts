import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { inventory } from '../../../cli/kube/inventory.ts';
import { freePortName, objectNames } from '../../../cli/kube/names.ts';
import { labelSelectorText, matchesLabels, matchesSelector } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const PORT_NAME = /^(?=.{1,15}$)(?=.*[a-z])(?!.*--)[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const anyPortName = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,13}[a-z0-9]$/).filter((name) => PORT_NAME.test(name));

test('the name that the app’s port gets is valid and free, however many are taken', () => {
  fc.assert(
    fc.property(anyPortName, fc.integer({ min: 0, max: 12 }), (name, count) => {
      const taken = new Set<string>();
      for (let n = 0; n <= count; n++) {
        const free = freePortName(name, taken);
        assert.match(free, PORT_NAME);
        assert.ok(!taken.has(free));
        taken.add(free);
      }
    }),
  );
});

test('object names fit, and differ from install to install', () => {
  const { configMap, secret } = objectNames('w'.repeat(253), '0123456789', '0badcafe');
  assert.equal(configMap.length, 253);
  assert.ok(secret.endsWith('-0123456789-0badcafe'));
});

test('an empty Service selector matches nothing, an empty label selector everything', () => {
  assert.equal(matchesLabels({}, { a: 'b' }), false);
  assert.equal(matchesLabels({ a: 'b' }, { a: 'b', c: 'd' }), true);
  assert.equal(matchesSelector({}, { a: 'b' }), true);
  const expressions = [
    { key: 'a', operator: 'In', values: ['b', 'c'] },
    { key: 'x', operator: 'DoesNotExist' },
    { key: 'a', operator: 'NotIn', values: ['d'] },
    { key: 'a', operator: 'Exists' },
  ];
  const selector = { matchLabels: { e: 'f' }, matchExpressions: expressions };
  assert.equal(matchesSelector(selector, { a: 'b', e: 'f' }), true);
  assert.equal(matchesSelector(selector, { a: 'b', e: 'f', x: '1' }), false);
  assert.equal(labelSelectorText(selector), 'e=f,a in (b,c),!x,a notin (d),a');
});

test('the inventory has workloads with our annotation, and Services whose workload is gone', () => {
  const workload = rawWorkload('Deployment', [rawContainer()]);
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 8080 }]);
  const plan = planInstall(workload, installRequest(workload, service), '2026-01-01T00:00:00Z');
  const [planned] = plan.services;
  assert.ok(planned);
  const [both] = inventory({ Deployment: [plan.workload.after] }, [planned.after]);
  assert.deepEqual([both?.install.state, both?.retargetedService, both?.wanted], ['installed', 'web', 2]);
  const [orphan] = inventory({}, [planned.after]);
  assert.deepEqual([orphan?.install.state, orphan?.retargetedService, orphan?.wanted], ['none', 'web', 0]);
  assert.deepEqual(inventory({ Deployment: [workload] }, [service]), []);
});
