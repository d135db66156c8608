import assert from 'node:assert/strict';
import { test } from 'vitest';
import { describePortStatus } from '../../../cli/commands/status.ts';

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

test('one is one, and none and several are several', () => {
  const filter = { match: 'all', conditions: [{ on: 'path', match: { kind: 'prefix', value: '/api' } }] } as const;
  const endings = [0, 1, 2].map((taken) => describePortStatus({ ...PORT, taken, dropped: taken }, { filter }));
  assert.deepEqual(
    endings.map((text) => text.replace(/^.*0 open, /, '')),
    ['0 requests so far', '1 request so far, 1 copy dropped', '2 requests so far, 2 copies dropped'],
  );
  assert.match(describePortStatus({ ...PORT, taken: 1 }, {}), /, 1 connection so far$/);
});
