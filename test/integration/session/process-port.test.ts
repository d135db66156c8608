import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, test } from 'vitest';
import { ProcessPort, type ProcessPortOptions } from '../../../cli/session/process-port.ts';
import type { SessionEvent } from '../../../cli/ui/events.ts';
import { silentLog } from '../../../src/log.ts';
import type { RouteTo } from '../../../src/protocol/control.ts';
import { until } from '../../support/until.ts';
import { portChoice } from './port-choice.ts';

const HOLD_MS = 600;
const FOREVER_MS = 3_600_000;

let end: (() => Promise<void>) | undefined;
afterEach(async () => {
  await end?.();
  end = undefined;
});

async function listen(port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function freePort(): Promise<number> {
  const server = await listen(0);
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

interface Followed {
  readonly localPort: number;
  readonly routes: RouteTo[];
  readonly events: SessionEvent[];
}

/** A port whose routes are followed until the test has ended. */
async function follow(options: Partial<ProcessPortOptions>): Promise<Followed> {
  const localPort = await freePort();
  const routes: RouteTo[] = [];
  const events: SessionEvent[] = [];
  const port = new ProcessPort({
    choice: portChoice({ service: 'web', localPort }),
    to: undefined,
    http: false,
    mirror: false,
    holdMs: FOREVER_MS,
    fallback: 'app',
    routeAtFirst: 'app',
    report: (event) => events.push(event),
    log: silentLog,
    setRoute: async (_port, to) => {
      if (routes.at(-1) !== to) routes.push(to);
    },
    ...options,
  });
  const following = new AbortController();
  const followed = port.follow(following.signal, { expected: false, onFirst: () => {} });
  end = async () => {
    following.abort();
    await followed;
    await port.close();
  };
  return { localPort, routes, events };
}

async function untilRoutes({ routes }: Followed, wanted: readonly RouteTo[]): Promise<void> {
  await until(() => routes.length >= wanted.length, `${wanted.join(' ')}, not ${routes.join(' ')}`);
  assert.deepEqual(routes, wanted);
}

test('callers wait as soon as the process is found away, and get it again when it is back', async () => {
  const port = await follow({});
  await untilRoutes(port, ['app']);
  const first = await listen(port.localPort);
  await untilRoutes(port, ['app', 'laptop']);
  first.close();
  await untilRoutes(port, ['app', 'laptop', 'held']);
  const second = await listen(port.localPort);
  await untilRoutes(port, ['app', 'laptop', 'held', 'laptop']);
  second.close();
  const told = port.events.map(({ event }) => event);
  assert.deepEqual(told, ['not-listening', 'listening', 'held', 'listening']);
  assert.deepEqual(port.events[2], {
    event: 'held',
    address: `127.0.0.1:${port.localPort}`,
    seconds: FOREVER_MS / 1000,
  });
});

test('a process that stays away is given up: the app answers, or with --no-fallback the agents refuse', async () => {
  for (const [fallback, last] of [
    ['app', 'app'],
    ['refuse', 'laptop'],
  ] as const) {
    const port = await follow({ holdMs: HOLD_MS, fallback });
    await until(() => port.events.length > 0, 'nothing listens yet');
    const server = await listen(port.localPort);
    await until(() => port.routes.includes('laptop'), 'the process was found');
    server.close();
    await until(() => port.routes.includes('held'), 'callers wait');
    const heldAt = Date.now();
    await until(() => port.routes.at(-1) === last, 'it is given up');
    assert.ok(Date.now() - heldAt > HOLD_MS / 2);
    await until(() => port.events.at(-1)?.event === 'not-listening', 'it is told');
    assert.equal(port.events.at(-2)?.event, 'held');
    const answered = port.events.flatMap((event) => (event.event === 'not-listening' ? [event.answers] : []));
    assert.deepEqual(answered, ['app', fallback === 'app' ? 'app' : 'nobody']); // at first the app in any case
    await end?.();
  }
});

test('in the place of the app callers wait from the beginning; of a mirror nobody waits', async () => {
  const replaced = await follow({ routeAtFirst: 'held', fallback: 'refuse' });
  await untilRoutes(replaced, ['held']);
  await until(() => replaced.events.length > 0, 'it is told');
  assert.deepEqual(replaced.events, [
    { event: 'not-listening', address: `127.0.0.1:${replaced.localPort}`, answers: 'nobody' },
  ]);
  await end?.();
  const mirror = await follow({ mirror: true });
  await untilRoutes(mirror, ['app']);
  const server = await listen(mirror.localPort);
  await untilRoutes(mirror, ['app', 'laptop']);
  server.close();
  await untilRoutes(mirror, ['app', 'laptop', 'app']);
  assert.ok(mirror.events.every(({ event }) => event !== 'held'));
});
