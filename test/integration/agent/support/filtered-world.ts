import { Agent } from 'node:http';
import type { Intercept } from '../../../../src/protocol/control.ts';
import { type AgentWorld, startWorld } from './agent-world.ts';
import { claimOf, intercept } from './claims.ts';
import { httpApp, httpProcess, seeingServer, withHeader } from './http.ts';
import type { SessionDouble } from './session-double.ts';

/** A world whose app answers requests as `app`, and tells what it has seen of them. */
export async function startHttpWorld(options?: Parameters<typeof startWorld>[1]): Promise<AgentWorld> {
  return await startWorld(httpApp(seeingServer('app')), options);
}

/** A session whose process answers requests with `x-user: <user>`. */
export async function personal(world: AgentWorld, user: string, more: Partial<Intercept> = {}): Promise<SessionDouble> {
  const session = await world.dial({ user, onIncoming: httpProcess(seeingServer(user)) });
  await session.request('claim', claimOf([filtered(world, user, more)]));
  return session;
}

/** What `user` claims of the app's port: requests with `x-user: <user>`. */
export function filtered(world: AgentWorld, user: string, more: Partial<Intercept> = {}): Intercept {
  return intercept(world.appPort, { filter: withHeader('x-user', user), to: 'laptop', ...more });
}

/** A caller that keeps its one connection. */
export function keepAlive(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}
