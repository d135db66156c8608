import assert from 'node:assert/strict';
import { test } from 'vitest';
import { claimsOf, heldBy } from '../../../cli/commands/list.ts';
import type { AgentStatus } from '../../../src/protocol/control.ts';

const ROUTES = [
  { appPort: 8080, protocol: 'tcp', servicePorts: [{ service: 'web', port: 80 }], port: 9901 },
  {
    appPort: 8081,
    protocol: 'tcp',
    servicePorts: [
      { service: 'web', port: 81 },
      { service: 'web', port: 82 },
    ],
    port: 9902,
  },
] as const;

/** One pod whose ports 8080 and 8081 are claimed by these sessions. */
function status(pod: string, claims: readonly (string | undefined)[]): AgentStatus {
  const ids = [...new Set(claims.filter((id) => id !== undefined))];
  return {
    pod,
    agentVersion: '0',
    sessions: ids.map((sessionId) => ({
      sessionId,
      user: sessionId,
      host: 'box',
      sinceMs: 0,
      lastSeenMs: 0,
      connected: true,
    })),
    intercepts: [8080, 8081].flatMap((appPort, index) => {
      const sessionId = claims[index];
      const nothing = { mirror: false, to: 'app', taken: 0, open: 0, dropped: 0 } as const;
      return sessionId === undefined ? [] : [{ appPort, protocol: 'tcp' as const, sessionId, ...nothing }];
    }),
    idleMs: 0,
    openConnections: 0,
    draining: false,
  };
}

test('each claimed port of the Service is told once with its holder, and the others not', () => {
  const record = { routes: ROUTES };
  assert.deepEqual(claimsOf(record, [status('web-1', ['ann', undefined]), status('web-2', ['ann', undefined])]), [
    { port: 80, holder: 'ann@box' },
  ]);
  assert.deepEqual(claimsOf(record, [status('web-1', [undefined, undefined])]), []);
});

test('who holds which port is shown where several hold some', () => {
  const claims = claimsOf({ routes: ROUTES }, [status('web-1', ['ann', 'bob'])]);
  assert.equal(heldBy({ holders: ['ann@box', 'bob@box'], claims }), '80 ann@box, 81,82 bob@box');
  assert.equal(heldBy({ holders: ['ann@box'], claims: claims.slice(0, 1) }), 'ann@box');
  assert.equal(heldBy({ holders: [], claims: [] }), '-');
});
