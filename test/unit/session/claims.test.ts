import assert from 'node:assert/strict';
import { test } from 'vitest';
import type { AgentTunnel } from '../../../cli/session/agent-tunnel.ts';
import { type ClaimedAgents, Claims, type ClaimsOptions } from '../../../cli/session/claims.ts';
import { RequestRefused } from '../../../cli/session/control-client.ts';

const live = new AbortController().signal;
const options: ClaimsOptions = {
  namespace: 'shop',
  workload: 'deployment/web',
  identity: { sessionId: 'b', user: 'ann', host: 'desk' },
  intercepts: [{ appPort: 80, protocol: 'tcp', fallback: 'app', mark: false, mirror: false }],
  routeAtFirst: 'app',
  takeOver: false,
  holdMs: 1_000,
  replaces: [],
};
const alone: ClaimedAgents = {
  anyClaimed: () => false,
  throwIfOver: () => {},
  refused: () => {},
  untilReached: async () => [],
};

/** A tunnel whose agent answers a request as `answer` does. */
function tunnelTo(answer: (method: string, params: unknown) => Promise<unknown>): AgentTunnel {
  return { control: { request: answer } } as unknown as AgentTunnel;
}

function heldBy(sessionId: string): Promise<never> {
  const holder = { sessionId, user: 'bob', host: 'box', sinceMs: 0, lastSeenMs: 0, connected: true };
  return Promise.reject(new RequestRefused('claim', { code: 'TARGET_IN_USE', message: 'held', holder }));
}

test('agents are claimed one after the other, each with the routes of then', async () => {
  const claims = new Claims(options, alone);
  const asked: unknown[] = [];
  let answer = (): void => {};
  const first = claims.claim(
    tunnelTo((_, params) => {
      asked.push(params);
      return new Promise<void>((resolve) => {
        answer = resolve;
      });
    }),
    live,
  );
  const second = claims.claim(
    tunnelTo(async (_, params) => asked.push(params)),
    live,
  );
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(asked.length, 1);
  claims.route({ appPort: 80, protocol: 'tcp' }, 'laptop');
  answer();
  await Promise.all([first, second]);
  const routes = asked.map((params) => (params as { intercepts: { to: string }[] }).intercepts[0]?.to);
  assert.deepEqual(routes, ['app', 'laptop']);
});

test('of two sessions that have some pods each the one with the lesser id waits, the other is refused', async () => {
  const some = new Claims(options, { ...alone, anyClaimed: () => true });
  await assert.rejects(
    some.claim(
      tunnelTo(() => heldBy('c')),
      live,
    ),
    /waiting for bob@box to give up/,
  );
  await assert.rejects(
    some.claim(
      tunnelTo(() => heldBy('a')),
      live,
    ),
    { code: 'TARGET_IN_USE' },
  );
  const none = new Claims(options, alone);
  await assert.rejects(
    none.claim(
      tunnelTo(() => heldBy('c')),
      live,
    ),
    { code: 'TARGET_IN_USE' },
  );
});

test('a session that gives up claims nothing more', async () => {
  const throwIfOver = (): void => {
    throw new Error('given up');
  };
  const claims = new Claims(options, { ...alone, throwIfOver });
  await assert.rejects(
    claims.claim(
      tunnelTo(() => assert.fail('asked')),
      live,
    ),
    /given up/,
  );
});

test('whoever is refused gives up before the next agent is asked', async () => {
  let refused: Error | undefined;
  const throwIfOver = (): void => {
    if (refused !== undefined) throw refused;
  };
  const claims = new Claims(options, {
    ...alone,
    throwIfOver,
    refused: (error) => {
      refused = error;
    },
  });
  const both = await Promise.allSettled([
    claims.claim(
      tunnelTo(() => heldBy('c')),
      live,
    ),
    claims.claim(
      tunnelTo(() => assert.fail('asked')),
      live,
    ),
  ]);
  assert.deepEqual(
    both.map((one) => (one.status === 'rejected' ? one.reason.code : 'claimed')),
    ['TARGET_IN_USE', 'TARGET_IN_USE'],
  );
});
