// Many sessions with a filter each on one pod's agent, from one process: tunnels as those of `intercept`, without a command line each.
import { setMaxListeners } from 'node:events';
import type { KubeObject } from '../../cli/kube/client-types.ts';
import { loadKubeConfig } from '../../cli/kube/kubeconfig.ts';
import { agentConfig } from '../../cli/session/agent-pods.ts';
import { type AgentTunnel, connectAgentTunnel } from '../../cli/session/agent-tunnel.ts';
import { silentLog } from '../../src/log.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import { parseTunnelKey } from '../../src/protocol/handshake.ts';
import type { TestNamespace } from './cluster.ts';

/** The field whose value tells the sessions apart: `<KEY_FIELD>: <prefix>-7`. */
export const KEY_FIELD = 'x-session';
const AT_ONCE = 10;
const DEADLINE_MS = 120_000;

export interface ManySessions extends AsyncDisposable {
  readonly count: number;
}

/**
 * Opens `count` sessions on the only pod of a workload that has an agent (put there by `intercept`); session i takes the
 * requests with `x-session: <prefix>-i` of the app's port and answers `<prefix>-i`.
 */
export async function openManySessions(
  namespace: TestNamespace,
  workload: string,
  options: { readonly count: number; readonly prefix: string; readonly appPort: number },
): Promise<ManySessions> {
  const { count, prefix, appPort } = options;
  const access = await loadKubeConfig({ kubeconfig: namespace.developerKubeconfig });
  const { tunnelPort, pod } = await findAgent(namespace, workload);
  const credentials = await findCredentials(namespace, workload);
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(DEADLINE_MS)]);
  setMaxListeners(0, signal);
  const tunnels: AgentTunnel[] = [];
  const open = async (index: number): Promise<void> => {
    const value = `${prefix}-${index}`;
    const tunnel = await connectAgentTunnel(
      {
        access,
        address: { namespace: namespace.name, pod, tunnelPort, certificate: credentials.certificate },
        key: parseTunnelKey(credentials.key),
        identity: { sessionId: value, user: value, host: 'bench' },
        resumeMs: 0,
        onOpen: (stream) => answerAs(value, stream),
        onEvent: () => {},
        log: silentLog,
      },
      'proxy',
      signal,
    );
    tunnels.push(tunnel);
    const match = { kind: 'exact', value } as const;
    await tunnel.control.request('claim', {
      intercepts: [
        {
          appPort,
          protocol: 'tcp',
          filter: { match: 'all', conditions: [{ on: 'header', name: KEY_FIELD, match }] },
          mirror: false,
          fallback: 'app',
          mark: false,
          to: 'laptop',
        },
      ],
      replaces: [],
      takeOver: false,
      holdMs: 0,
    });
  };
  const close = async (): Promise<void> => {
    // Without it they would be waited for, as sessions whose carrier was lost are.
    await Promise.allSettled(tunnels.map((tunnel) => tunnel.control.request('release', {})));
    stop.abort();
    await Promise.allSettled(tunnels.map((tunnel) => tunnel.close()));
  };
  try {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < count) await open(next++);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  } catch (error) {
    await close();
    throw error;
  }
  return { count, [Symbol.asyncDispose]: close };
}

/** Answers requests without bodies on a stream, one answer for each. */
function answerAs(text: string, stream: MuxStream): void {
  const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${text.length + 1}\r\n\r\n${text}\n`;
  let rest = '';
  stream.on('error', () => {}); // callers that leave
  stream.on('data', (chunk: Buffer) => {
    rest += chunk.toString('latin1');
    for (let end = rest.indexOf('\r\n\r\n'); end >= 0; end = rest.indexOf('\r\n\r\n')) {
      rest = rest.slice(end + 4);
      stream.write(answer);
    }
  });
  stream.on('end', () => stream.end());
  stream.accept();
}

async function findAgent(namespace: TestNamespace, workload: string): Promise<{ pod: string; tunnelPort: number }> {
  for (const pod of await namespace.livePods<KubeObject>(`${workload}-`)) {
    const config = agentConfig(pod);
    if (config !== undefined) return { pod: pod.metadata.name, tunnelPort: config.tunnelPort };
  }
  throw new Error(`no pod of ${workload} has an agent`);
}

async function findCredentials(
  namespace: TestNamespace,
  workload: string,
): Promise<{ key: string; certificate: string }> {
  const list = ['get', 'secrets', '-l', 'app.kubernetes.io/managed-by=kube-intercept', '-o', 'json'];
  const { items }: { items: { metadata: { name: string }; data: Record<string, string> }[] } = JSON.parse(
    await namespace.kubectl(list),
  );
  const found = items.find(({ metadata }) => metadata.name.startsWith(`kube-intercept-${workload}-`));
  const text = (name: string): string => Buffer.from(found?.data[name] ?? '', 'base64').toString();
  return { key: text('key'), certificate: text('tls.crt') };
}
