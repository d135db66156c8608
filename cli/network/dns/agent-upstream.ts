import type { Mux } from '../../../src/mux/mux.ts';
import { pause } from '../../session/backoff.ts';
import { AgentLine, LineLostError } from './agent-line.ts';
import type { Upstream } from './upstream.ts';

export interface AgentUpstreamOptions {
  /** A tunnel that is up. */
  readonly tunnel: () => Mux | undefined;
  /** Resolves when there is one; rejects when aborted. */
  readonly untilTunnel: (signal: AbortSignal) => Promise<unknown>;
  /** How long a question waits for a lost tunnel to come back; below the resolver's deadline, so that the laptop is asked. */
  readonly tunnelWaitMs?: number;
}

const TUNNEL_WAIT_MS = 4_000;
/** Until the session has noticed that a tunnel is over. */
const RETRY_PAUSE_MS = 50;

/**
 * Asks the pod's own resolvers: all questions over one stream of the tunnel (PROTOCOL.md "Streams", dns). Questions that
 * were under way when a tunnel was lost are asked again over the next one.
 */
export class AgentUpstream implements Upstream {
  readonly #options: AgentUpstreamOptions;
  #line: AgentLine | undefined;

  constructor(options: AgentUpstreamOptions) {
    this.#options = options;
  }

  async ask(message: Buffer, signal: AbortSignal): Promise<Buffer> {
    for (;;) {
      signal.throwIfAborted();
      try {
        const line = this.#openLine() ?? (await this.#lineOfNextTunnel(signal));
        if (line !== undefined) return await line.ask(message, signal);
      } catch (error) {
        if (!(error instanceof LineLostError)) throw error;
      }
      await pause(RETRY_PAUSE_MS, signal);
    }
  }

  /** Ends the stream; questions under way fail. */
  close(): void {
    this.#line?.close();
  }

  /** The line in use, or a new one where the tunnel is another; undefined while there is no tunnel. */
  #openLine(): AgentLine | undefined {
    const mux = this.#options.tunnel();
    if (mux === undefined) return undefined;
    if (this.#line?.mux === mux && this.#line.usable) return this.#line;
    this.#line?.retire();
    this.#line = new AgentLine(mux);
    return this.#line;
  }

  async #lineOfNextTunnel(signal: AbortSignal): Promise<AgentLine | undefined> {
    const abort = new AbortController();
    const stop = (): void => abort.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    const waitMs = this.#options.tunnelWaitMs ?? TUNNEL_WAIT_MS;
    const timer = setTimeout(() => abort.abort(new Error('no tunnel to the cluster')), waitMs);
    try {
      await this.#options.untilTunnel(abort.signal);
      return this.#openLine();
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  }
}
