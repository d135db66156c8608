import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:https';
import { afterAll, beforeAll, test } from 'vitest';
import { DRAIN_LINGER_MS } from '../../../agent/limits.ts';
import {
  type AgentProcess,
  type Bundle,
  bundleAgent,
  removeBundle,
  spawnAgent,
  untilLogged,
} from './support/agent-process.ts';
import { claimOf } from './support/claims.ts';
import { acceptWith, dialSession } from './support/session-double.ts';
import { dial, echoAs, exchange, listenTcp, readAll, type TcpServer, until } from './support/tcp.ts';

let bundle: Bundle;
let app: TcpServer;

beforeAll(async () => {
  bundle = await bundleAgent();
});
afterAll(async () => {
  await removeBundle(bundle);
});

/** HTTP status of /readyz; the answer may be held. */
async function readyz(port: number): Promise<number> {
  const probe = request({ port, host: '127.0.0.1', path: '/readyz', rejectUnauthorized: false, agent: false }).end();
  const [response] = await once(probe, 'response');
  response.resume();
  return response.statusCode;
}

async function start(env: Record<string, string | undefined> = {}): Promise<AgentProcess> {
  app = await listenTcp(echoAs('app'));
  const agent = await spawnAgent(bundle, app.port, env);
  await untilLogged(agent, 'agent listens');
  return agent;
}

async function stop(agent: AgentProcess): Promise<void> {
  await app.close();
  agent.child.kill('SIGTERM');
  assert.equal(await agent.exited, 0);
  assert.deepEqual(
    agent.log.filter(({ level }) => level === 'error' || level === 'warn'),
    [],
  );
}

test('the bundle is small enough for a ConfigMap many times over', () => {
  assert.ok(bundle.bytes < 640 * 1024, `${bundle.bytes} bytes`);
});

test('readiness is held until a session has claimed', async () => {
  const agent = await start();
  const held = readyz(agent.tunnelPort);
  const session = await dialSession({ port: agent.tunnelPort, key: agent.key });
  await session.request('claim', claimOf([app.port]));
  assert.equal(await held, 200);
  assert.equal(await readyz(agent.tunnelPort), 200);
  await session.mux.close();
  await stop(agent);
});

test('readiness comes without a session after two seconds', async () => {
  const agent = await start();
  const startedMs = Date.now();
  assert.equal(await readyz(agent.tunnelPort), 200);
  const tookMs = Date.now() - startedMs;
  assert.ok(tookMs > 1_000, `${tookMs} ms`);
  await stop(agent);
});

test('the bundled agent serves a session, and says its version and the environment of the app', async () => {
  const agent = await start({ GREETING: 'hi', NODE_OPTIONS: '', KUBE_INTERCEPT_APP_NODE_OPTIONS: '--inspect' });
  const session = await dialSession({
    port: agent.tunnelPort,
    key: agent.key,
    onIncoming: acceptWith(echoAs('laptop')),
  });
  await session.request('claim', claimOf([app.port]));
  await session.request('route', { appPort: app.port, protocol: 'tcp', to: 'laptop' });
  assert.equal((await exchange(agent.routePort, 'x')).bytes.toString(), 'laptop:x');
  assert.equal((await session.request('status', {})).agentVersion, '1.2.3');
  const { variables } = await session.request('environment', {});
  assert.deepEqual([variables.GREETING, variables.NODE_OPTIONS], ['hi', '--inspect']);
  assert.deepEqual(
    Object.keys(variables).filter((name) => name.startsWith('KUBE_INTERCEPT')),
    [],
  );
  await session.mux.close();
  await stop(agent);
});

test('SIGTERM: the session is told, callers are served while the app listens, then the agent ends', async () => {
  const agent = await start();
  const session = await dialSession({ port: agent.tunnelPort, key: agent.key });
  agent.child.kill('SIGTERM');
  await until(() => session.events.length === 1, 'the session is told');
  assert.deepEqual(session.events, [{ type: 'event', event: 'draining' }]);
  assert.equal(await readyz(agent.tunnelPort), 503);
  assert.equal((await exchange(agent.routePort, 'late')).bytes.toString(), 'app:late');
  assert.equal((await session.request('status', {})).draining, true);
  const closedMs = Date.now();
  await app.close();
  assert.equal(await agent.exited, 0);
  assert.ok(Date.now() - closedMs < DRAIN_LINGER_MS - 1_000, 'it ends as soon as the app is gone');
  await session.mux.closed;
});

test('SIGTERM: an open connection is served to its end although the app accepts no more', async () => {
  const agent = await start();
  const caller = await dial(agent.routePort);
  caller.write('long ');
  await until(() => app.sockets.size === 1, 'the app has the connection');
  agent.child.kill('SIGTERM');
  app.server.close();
  await untilLogged(agent, 'agent drains');
  const outcome = readAll(caller);
  caller.end('request');
  assert.equal((await outcome).bytes.toString(), 'app:long request');
  assert.equal(await agent.exited, 0);
});

test('what keeps the agent from starting is said in one line, and it exits with 1', async () => {
  const cases = [
    { env: { KUBE_INTERCEPT_AGENT: undefined }, message: 'agent cannot start', setting: 'KUBE_INTERCEPT_AGENT' },
    { env: { KUBE_INTERCEPT_CREDENTIALS_DIR: '/nowhere' }, message: 'agent cannot start', setting: '/nowhere/key' },
  ];
  for (const { env, message, setting } of cases) {
    const agent = await spawnAgent(bundle, 8080, env);
    assert.equal(await agent.exited, 1);
    assert.deepEqual(
      agent.log.map((record) => [record.level, record.message, record.setting]),
      [['error', message, setting]],
    );
  }
});

test('a port that is taken is said, and the agent exits with 1', async () => {
  const taken = await start();
  const config = JSON.stringify({
    version: 1,
    tunnelPort: taken.tunnelPort,
    container: 'app',
    app: 'present',
    routes: [{ port: taken.routePort, appPort: app.port, protocol: 'tcp' }],
  });
  const agent = await spawnAgent(bundle, app.port, { KUBE_INTERCEPT_AGENT: config });
  assert.equal(await agent.exited, 1);
  assert.match(String((await untilLogged(agent, 'agent cannot listen')).reason), /EADDRINUSE/);
  await stop(taken);
});
