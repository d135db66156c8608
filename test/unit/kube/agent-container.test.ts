import assert from 'node:assert/strict';
import { test } from 'vitest';
import { appEnvironment } from '../../../cli/kube/agent-container.ts';
import { RUNTIME_VARIABLES } from '../../../src/protocol/agent-config.ts';

test('a variable that would change the agent travels under another name, and references to it follow', () => {
  const env = appEnvironment({
    name: 'app',
    env: [
      { name: 'NODE_OPTIONS', value: '--inspect' },
      { name: 'COPY', value: '$(NODE_OPTIONS) $$(NODE_OPTIONS) $(OTHER)' },
      { name: 'LD_PRELOAD', valueFrom: { configMapKeyRef: { name: 'c', key: 'k' } } },
    ],
  });
  assert.deepEqual(env, [
    { name: 'KUBE_INTERCEPT_APP_NODE_OPTIONS', value: '--inspect' },
    { name: 'COPY', value: '$(KUBE_INTERCEPT_APP_NODE_OPTIONS) $$(NODE_OPTIONS) $(OTHER)' },
    { name: 'KUBE_INTERCEPT_APP_LD_PRELOAD', valueFrom: { configMapKeyRef: { name: 'c', key: 'k' } } },
    { name: 'NODE_OPTIONS', value: '' },
    { name: 'LD_PRELOAD', value: '' },
  ]);
});

test('with envFrom every such variable is passed on by reference and blanked, before and after the others', () => {
  const env = appEnvironment({
    name: 'app',
    envFrom: [{ secretRef: { name: 's' } }],
    env: [{ name: 'NODE_OPTIONS', value: 'x' }],
  });
  const passed = env.filter(({ name, value }) => value === `$(${name.replace('KUBE_INTERCEPT_APP_', '')})`);
  assert.equal(passed.length, RUNTIME_VARIABLES.length - 1);
  assert.deepEqual(
    env.filter(({ value }) => value === '').map(({ name }) => name),
    [...RUNTIME_VARIABLES],
  );
  assert.equal(
    env.findIndex(({ name }) => name === 'KUBE_INTERCEPT_APP_NODE_OPTIONS'),
    passed.length,
  );
});

test("resource fields without a container name mean the app's", () => {
  const reference = (containerName?: string) => ({
    name: 'CPU',
    valueFrom: {
      resourceFieldRef: { resource: 'limits.cpu', ...(containerName === undefined ? {} : { containerName }) },
    },
  });
  assert.deepEqual(appEnvironment({ name: 'app', env: [reference()] }), [reference('app')]);
  assert.deepEqual(appEnvironment({ name: 'app', env: [reference('other')] }), [reference('other')]);
});
