import assert from 'node:assert/strict';
import { test } from 'vitest';
import { linesOf } from '../../../cli/commands/list.ts';
import { interceptsOf } from '../../../cli/commands/list-intercepts.ts';
import type { Filter } from '../../../src/http/filter.ts';
import type { AgentStatus, InterceptStatus } from '../../../src/protocol/control.ts';

const ROUTES = [
  { appPort: 8080, protocol: 'tcp', servicePorts: [{ service: 'web', port: 80 }], port: 9901 },
  {
    appPort: 8081,
    protocol: 'tcp',
    servicePorts: [
      { service: 'web', port: 81 },
      { service: 'admin', port: 82 },
    ],
    port: 9902,
  },
] as const;
const ANN: Filter = { match: 'all', conditions: [{ on: 'personal', key: 'intercept', value: 'ann' }] };
const NOW_MS = Date.parse('2026-01-01T00:10:00Z');
/** The agents' clock is ahead. */
const AHEAD_MS = 3_600_000;

/** One pod with these intercepts, whose sessions are connected and named by their ids. */
function status(pod: string, intercepts: readonly Partial<InterceptStatus>[], lastActivityMs?: number): AgentStatus {
  const all = intercepts.map((intercept) => ({
    sessionId: 'ann',
    appPort: 8080,
    protocol: 'tcp' as const,
    mirror: false,
    to: 'laptop' as const,
    taken: 0,
    open: 0,
    dropped: 0,
    ...intercept,
  }));
  return {
    pod,
    agentVersion: '0',
    sessions: [...new Set(all.map(({ sessionId }) => sessionId))].map((sessionId) => ({
      sessionId,
      user: sessionId,
      host: 'box',
      sinceMs: NOW_MS + AHEAD_MS - 300_000,
      lastSeenMs: NOW_MS + AHEAD_MS,
      connected: true,
      reconnecting: false,
      ...(lastActivityMs === undefined ? {} : { lastActivityMs }),
    })),
    intercepts: all,
    idleMs: 0,
    openConnections: 0,
    draining: false,
  };
}

test('each intercept is told once with what all pods have counted, by the clock of the laptop', () => {
  const used = NOW_MS + AHEAD_MS - 60_000;
  const [intercept, ...others] = interceptsOf(
    { routes: ROUTES },
    [
      status('web-1', [{ filter: ANN, taken: 3, open: 1 }], used - 5_000),
      status('web-2', [{ filter: ANN, taken: 4, dropped: 2, to: 'app' }], used),
    ],
    NOW_MS,
  );
  assert.deepEqual(others, []);
  assert.deepEqual(intercept, {
    services: ['web'],
    ports: [80],
    appPort: 8080,
    protocol: 'tcp',
    holder: 'ann@box',
    connected: true,
    reconnecting: false,
    filter: ANN,
    mirror: false,
    to: 'laptop',
    since: '2026-01-01T00:05:00.000Z',
    lastActivity: '2026-01-01T00:09:00.000Z',
    taken: 7,
    open: 1,
    dropped: 2,
  });
});

test('a port that several Services lead to is told with all of them and their ports, and nothing of sessions that are gone', () => {
  const pod = status('web-1', [{ appPort: 8081 }]);
  const [intercept] = interceptsOf({ routes: ROUTES }, [pod]);
  assert.deepEqual(
    [intercept?.services, intercept?.ports],
    [
      ['web', 'admin'],
      [81, 82],
    ],
  );
  assert.deepEqual(interceptsOf({ routes: ROUTES }, [{ ...pod, sessions: [] }]), []);
});

test('the table has a line for each intercept that says what it takes, and one for a workload without any', () => {
  const pod = status('web-1', [
    { filter: ANN },
    { sessionId: 'bob', mirror: true },
    { sessionId: 'eve', appPort: 8081, open: 1 },
  ]);
  const intercepts = interceptsOf({ routes: ROUTES }, [pod]);
  const row = {
    namespace: 'shop',
    workload: 'deployment/web',
    services: ['web', 'admin'],
    mode: 'sidecar',
    intercepts,
    holders: [],
    state: 'intercepted',
    since: null,
    installedBy: null,
  } as const;
  const shown = linesOf(row).map(([workload, service, port, state, takes, holder, _age, used]) =>
    [workload, service, port, state, takes, holder, used].join(' | '),
  );
  assert.deepEqual(shown, [
    'deployment/web | web | 80 | intercepted | --personal ann | ann@box | -',
    'deployment/web | web | 80 | intercepted | copies of everything | bob@box | -',
    'deployment/web | web,admin | 81,82 | intercepted | everything | eve@box | now',
  ]);
  assert.deepEqual(linesOf({ ...row, intercepts: [], holders: ['ann@box', 'ann@box'], state: 'in use' }), [
    ['deployment/web', 'web,admin', '-', 'in use', '-', 'ann@box', '-', '-'],
  ]);
});
