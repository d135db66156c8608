import assert from 'node:assert/strict';
import { test } from 'vitest';
import { describePodStatus, describePortStatus } from '../../../cli/commands/status.ts';

const PORT = {
  local: '127.0.0.1:3000',
  service: 'web',
  servicePort: 80,
  servicePortName: undefined,
  appPort: 8080,
  protocol: 'tcp',
  routedTo: 'laptop',
  listening: true,
  openConnections: 0,
} as const;
const HERE = { pod: 'web-1', state: 'connected', carrier: 'proxy', roundTripMs: 1.25 } as const;
const AWAY = {
  pod: 'web-2',
  state: 'reconnecting',
  carrier: 'proxy',
  forMs: 3_000,
  reason: 'the carrier was silent',
} as const;
const GONE = { pod: 'web-3', state: 'disconnected', forMs: 62_000, reason: 'no carrier for 30 s' } as const;

test('one is one, and none and several are several', () => {
  const filter = { match: 'all', conditions: [{ on: 'path', match: { kind: 'prefix', value: '/api' } }] } as const;
  const endings = [0, 1, 2].map((taken) =>
    describePortStatus({ ...PORT, taken, dropped: taken }, { filter, pods: [HERE] }),
  );
  assert.deepEqual(
    endings.map((text) => text.replace(/^.*0 open, /, '')),
    ['0 requests so far', '1 request so far, 1 copy dropped', '2 requests so far, 2 copies dropped'],
  );
  assert.match(describePortStatus({ ...PORT, taken: 1 }, { pods: [HERE] }), /, 1 connection so far$/);
});

test('who answers is the laptop only while there is a way to a pod', () => {
  const says = (...pods: Parameters<typeof describePortStatus>[1]['pods']) => describePortStatus(PORT, { pods });
  assert.match(says(HERE, AWAY), /: this laptop answers, /);
  assert.match(says(AWAY, GONE), /: the app answers until a pod is back in reach, /);
  assert.match(
    describePortStatus(PORT, { pods: [AWAY], fallback: 'refuse' }),
    /: nobody answers until a pod is back in reach, /,
  );
  assert.match(describePortStatus({ ...PORT, routedTo: 'app' }, { pods: [AWAY] }), /: the app answers, /);
  assert.match(describePortStatus(PORT, { pods: [AWAY], mirror: true }), /: no copies, /);
});

test('the way to a pod is told as it is', () => {
  assert.equal(describePodStatus(HERE), 'connected by proxy, round trip 1.3 ms');
  assert.equal(describePodStatus(AWAY), 'reconnecting for 3s (the carrier was silent); what is open waits');
  assert.equal(describePodStatus(GONE), 'disconnected for 62s (no carrier for 30 s); what was open is cut');
});

test('without a fallback nobody answers for as long as the agent may keep the claim; then the app does', () => {
  const says = (...pods: Parameters<typeof describePortStatus>[1]['pods']) =>
    describePortStatus(PORT, { pods, fallback: 'refuse' });
  assert.match(says({ ...AWAY, forMs: 110_000 }), /: nobody answers until/); // --resume 120
  assert.match(says({ ...GONE, forMs: 5_000 }), /: nobody answers until/);
  assert.match(says(GONE), /: the app answers until/);
});

test('a reason stays on one line of a terminal, however much the API server says', () => {
  const text = describePodStatus({ ...GONE, reason: `cannot reach web-3:\n${'no such pod, '.repeat(50)}` });
  assert.match(text, /^disconnected for 62s \(cannot reach web-3: no such pod, .*…\); what was open is cut$/);
  assert.ok(text.length < 190, text);
});
