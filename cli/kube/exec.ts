import { InterceptorError } from '../../src/errors.ts';
import type { RawMessage } from '../../src/net/transport/raw-websocket.ts';
import { resourcePath } from './client-paths.ts';
import { unreachable } from './client-unreachable.ts';
import { openWebSocket } from './client-websocket.ts';
import type { KubeAccess } from './kubeconfig-types.ts';

const SUBPROTOCOL = 'v4.channel.k8s.io';
const CHANNELS = { 1: 'stdout', 2: 'stderr', 3: 'status' } as const;
const MAX_OUTPUT_BYTES = 1024 * 1024;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

export interface ExecTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly command: readonly string[];
  readonly signal: AbortSignal;
}

export interface ExecResult {
  /** At most MAX_OUTPUT_BYTES each; what is more is dropped. */
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/**
 * Runs a command in a container, without stdin and terminal.
 * @throws CLUSTER_REFUSED: it could not be started; CLUSTER_UNREACHABLE: cut before its end; as openWebSocket()
 */
export async function execInPod(access: KubeAccess, target: ExecTarget): Promise<ExecResult> {
  const { namespace, pod, container, command, signal } = target;
  const query = new URLSearchParams([
    ['container', container],
    ['stdout', 'true'],
    ['stderr', 'true'],
  ]);
  for (const word of command) query.append('command', word);
  const path = resourcePath({ apiVersion: 'v1', resource: 'pods', namespace, name: pod, subresource: 'exec' });
  const webSocket = await openWebSocket(access, {
    path: `${path}?${query.toString()}`,
    protocols: [SUBPROTOCOL],
    maxPayloadBytes: MAX_MESSAGE_BYTES,
    signal,
  });
  const output = { stdout: new Output(), stderr: new Output(), status: new Output() };
  webSocket.on('message', (data: RawMessage) => {
    if (!Buffer.isBuffer(data)) return;
    const channel = data[0];
    if (channel === 1 || channel === 2 || channel === 3) output[CHANNELS[channel]].add(data.subarray(1));
  });
  const onAbort = (): void => webSocket.terminate();
  signal.addEventListener('abort', onAbort, { once: true });
  let failure: Error | undefined;
  await new Promise<void>((resolve) => {
    webSocket.on('error', (error) => {
      failure = error;
    });
    webSocket.once('close', () => resolve());
    webSocket.resume();
    if (signal.aborted) onAbort();
  });
  signal.removeEventListener('abort', onAbort);
  signal.throwIfAborted();
  const status = output.status.text();
  if (status === '')
    throw unreachable(access, failure ?? Object.assign(new Error('exec was cut'), { code: 'ECONNRESET' }));
  return { stdout: output.stdout.text(), stderr: output.stderr.text(), exitCode: exitCodeOf(status, target) };
}

/** Reads the v1.Status at the end of a run. */
function exitCodeOf(text: string, { pod, command }: ExecTarget): number {
  const status = JSON.parse(text) as {
    status?: string;
    message?: string;
    details?: { causes?: { reason?: string; message?: string }[] };
  };
  if (status.status === 'Success') return 0;
  const cause = status.details?.causes?.find(({ reason }) => reason === 'ExitCode');
  if (cause !== undefined) return Number(cause.message);
  throw new InterceptorError(
    'CLUSTER_REFUSED',
    `cannot run ${command[0] ?? ''} in pod/${pod}: ${status.message ?? 'no reason given'}`,
  );
}

class Output {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  add(chunk: Buffer): void {
    const room = MAX_OUTPUT_BYTES - this.#bytes;
    if (room <= 0) return;
    this.#chunks.push(chunk.subarray(0, room));
    this.#bytes += Math.min(room, chunk.byteLength);
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}
