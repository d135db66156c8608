import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { onTestFinished, test } from 'vitest';
import type { KubeObject } from '../../../cli/kube/client.ts';
import { AGENT_CONTAINER } from '../../../cli/kube/names.ts';
import { Agents } from '../../../cli/session/agents.ts';
import { silentLog } from '../../../src/log.ts';
import { agentHandshake } from '../../../src/mux/handshake.ts';
import { Link } from '../../../src/mux/link.ts';
import { Mux } from '../../../src/mux/mux.ts';
import type { Transport } from '../../../src/mux/transport.ts';
import { acceptWebSocket } from '../../../src/net/transport/websocket.ts';
import { AGENT_CONFIG_ENV, TUNNEL_PATH } from '../../../src/protocol/agent-config.ts';
import { accessTo, wireServer } from '../kube/api-fixture.ts';

const KEY = Buffer.alloc(32, 7);
/** How long a tunnel waits for another carrier; nothing here may take that long. */
const RESUME_MS = 30_000;
const SOON_MS = 10_000;

/** A ready pod whose agent listens on that port. */
function pod(name: string): KubeObject {
  const config = { version: 1, tunnelPort: 9900, container: 'app', routes: [], app: 'present' };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', uid: name, resourceVersion: '1' },
    spec: { containers: [{ name: AGENT_CONTAINER, env: [{ name: AGENT_CONFIG_ENV, value: JSON.stringify(config) }] }] },
    status: {
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [{ name: AGENT_CONTAINER, state: { running: {} }, containerID: `containerd://${name}` }],
    },
  } as KubeObject;
}

/**
 * A session's agents behind an API server; each pod has one that answers every request.
 * @param losesItsClaim the pod whose carrier is cut whenever it is claimed
 */
async function agentsBehind(losesItsClaim: string): Promise<{ agents: Agents; claims: () => number }> {
  const api = await wireServer((_, response) => response.writeHead(404).end());
  let claims = 0;
  const agent = async (pod: string, carrier: Transport): Promise<void> => {
    const peer = await agentHandshake<Link>(carrier, { key: KEY, pod, deadlineMs: SOON_MS });
    const link = new Link({ id: peer.link.id, resumeForMs: peer.link.resumeMs });
    const mux: Mux = new Mux(link, {
      side: 'agent',
      onOpen: (stream) => stream.refuse('refused'),
      onControl: (message) => {
        if (message.type !== 'request') return;
        if (message.method === 'claim') claims += 1;
        if (message.method === 'claim' && pod === losesItsClaim) carrier.terminate();
        else mux.sendControl({ type: 'response', id: message.id, result: {} });
      },
    });
    link.attach(peer.transport, peer.at);
  };
  acceptWebSocket(api.server, {
    pathSuffix: TUNNEL_PATH,
    onTransport: (carrier, { url = '' }) => {
      const [, name = ''] = /\/pods\/(?:https:)?([^/:]+)/.exec(url) ?? [];
      agent(name, carrier).catch(() => {}); // a session that ends
    },
  });
  const agents = new Agents({
    access: await accessTo(api.url),
    namespace: 'shop',
    workload: 'statefulset/db',
    identity: { sessionId: 's', user: 'ann', host: 'laptop' },
    tunnel: 'proxy',
    resumeMs: RESUME_MS,
    intercepts: [],
    routeAtFirst: 'app',
    takeOver: false,
    holdMs: 0,
    replaces: [],
    credentials: { key: KEY.toString('base64url'), tlsCert: '', tlsKey: '' },
    wanted: 1,
    belongs: () => true,
    onStream: (stream) => stream.refuse('refused'),
    onFilesChanged: () => {},
    onEvicted: () => {},
    onNotHttp: () => {},
    onTlsLacks: () => {},
    onTakenOver: () => {},
    report: () => {},
    log: silentLog,
  });
  onTestFinished(() => agents.close());
  return { agents, claims: () => claims };
}

async function untilClaimed(claims: () => number): Promise<void> {
  while (claims() === 0) await pause(5);
}

test('a carrier that is lost while its pod is claimed keeps no other pod from being claimed', async () => {
  const { agents, claims } = await agentsBehind('a');
  agents.see('ADDED', pod('a'));
  await untilClaimed(claims);
  agents.see('ADDED', pod('b'));
  agents.see('DELETED', pod('a'));
  await agents.untilCovered(AbortSignal.timeout(SOON_MS));
  assert.deepEqual(
    agents.attached.map((tunnel) => tunnel.pod),
    ['b'],
  );
});

test('nor does it keep the session from ending', async () => {
  const { agents, claims } = await agentsBehind('a');
  agents.see('ADDED', pod('a'));
  await untilClaimed(claims);
  await agents.release();
  const late = AbortSignal.timeout(SOON_MS);
  const tooLate = new Promise((_, reject) => late.addEventListener('abort', () => reject(late.reason)));
  await Promise.race([agents.close(), tooLate]);
});
