import assert from 'node:assert/strict';
import { test } from 'vitest';
import { appEnvironment } from '../../../agent/app-environment.ts';

test('the app gets its variables, and none of the agent', () => {
  const env = {
    GREETING: 'hi',
    EMPTY: '',
    KUBE_INTERCEPT_AGENT: '{}',
    KUBE_INTERCEPT_POD_IP: '10.0.0.1',
    GONE: undefined,
  };
  assert.deepEqual(appEnvironment(env), { GREETING: 'hi', EMPTY: '' });
});

test('a variable that was blanked for the agent comes back with its value', () => {
  const env = { NODE_OPTIONS: '', KUBE_INTERCEPT_APP_NODE_OPTIONS: '--inspect', KUBE_INTERCEPT_APP_LD_PRELOAD: '' };
  assert.deepEqual(appEnvironment(env), { NODE_OPTIONS: '--inspect', LD_PRELOAD: '' });
});

test('a variable that was blanked although the app has none is not there', () => {
  assert.deepEqual(appEnvironment({ NODE_OPTIONS: '', LD_PRELOAD: '' }), {});
});

test('a variable passed on by reference from envFrom is not set where the reference found nothing', () => {
  const env = { KUBE_INTERCEPT_APP_NODE_PATH: '$(NODE_PATH)', KUBE_INTERCEPT_APP_NODE_OPTIONS: '--inspect' };
  assert.deepEqual(appEnvironment(env), { NODE_OPTIONS: '--inspect' });
});
