import assert from 'node:assert/strict';
import { test } from 'vitest';
import { Guardian, type GuardianTask } from '../../../cli/session/guardian.ts';
import type { AgentHost } from '../../../cli/session/host.ts';
import { Leaving } from '../../../cli/session/leaving.ts';
import { Session } from '../../../cli/session/session.ts';
import { silentLog } from '../../../src/log.ts';
import { clientFor, wireServer } from '../kube/api-fixture.ts';

const task: GuardianTask = {
  sessionId: 's',
  kubeconfig: undefined,
  context: '',
  namespace: 'shop',
  workloadKind: 'Deployment',
  workloadName: 'web',
  keepAgent: false,
  socket: '',
  direct: undefined,
  envFile: undefined,
  installId: '0badcafe',
  workloadUid: 'uid-web',
};

test('a watch that cannot begin ends the session, and keeps nothing from being handed back', async () => {
  const told: string[] = [];
  const host: AgentHost = {
    ref: { kind: 'Deployment', namespace: 'nobody-is-here', name: 'web' },
    installId: '0badcafe',
    brought: true,
    bring: async () => ({ credentials: { key: '', tlsCert: '', tlsKey: '' }, wanted: 1, belongs: () => true }),
    untilUp: (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    follow: async () => await Promise.reject(new Error('503 Service Unavailable')),
    held: async () => {},
    handBack: async () => {
      told.push('handed back');
      return 'settled';
    },
  };
  const { url } = await wireServer((_, response) => response.writeHead(503).end());
  const session = new Session({
    client: await clientFor(url),
    host,
    traffic: undefined,
    replaces: [],
    tunnel: 'auto',
    resumeMs: 0,
    startedAt: performance.now(),
    leaving: new Leaving(),
    guardian: Guardian.start(task, '/dev/null'), // one that ends at once: not what this is about
    identity: { sessionId: 's', user: 'ann', host: 'laptop' },
    command: undefined,
    env: {},
    envFile: undefined,
    network: undefined,
    files: undefined,
    report: () => {},
    log: silentLog,
  });
  await assert.rejects(session.run(), { message: '503 Service Unavailable' });
  assert.deepEqual(told, ['handed back']);
});
