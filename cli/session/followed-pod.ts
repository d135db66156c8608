import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import { isNotFound, type KubeObject } from '../kube/client.ts';
import type { Report } from '../ui/events.ts';
import { isServing, runningAgent } from './agent-pods.ts';
import type { AgentTunnel } from './agent-tunnel.ts';
import { backoffMs, pause, redialMs } from './backoff.ts';

/** A carrier that has lived for less long is not replaced at once. */
const SHORT_LIVED_MS = 1_000;

/** How tunnels to agents are made and kept. */
export interface PodWay {
  /** Dials the pod's agent and claims. @param onReached once the tunnel is up, before the claim */
  connect(pod: KubeObject, signal: AbortSignal, onReached: (tunnel: AgentTunnel) => void): Promise<AgentTunnel>;
  /** Brings a tunnel that has lost its carrier another one. */
  redial(tunnel: AgentTunnel, signal: AbortSignal): Promise<void>;
  /** The tunnel is up and has what the session claims. */
  onClaimed(tunnel: AgentTunnel): void;
  /** Dialling again does not help, as long as nobody changes anything. */
  onFinal(error: InterceptorError): void;
  onChanged(): void;
  readonly report: Report;
  readonly log: Log;
}

/** One pod with an agent, and the tunnel to it, for as long as the pod exists. */
export class FollowedPod {
  readonly name: string;
  readonly #way: PodWay;
  readonly #abort = new AbortController();
  #object: KubeObject;
  #tunnel: AgentTunnel | undefined;
  #reached: AgentTunnel | 'not' | undefined;
  #lost: { readonly reason: string; readonly sinceMs: number } | undefined;
  /** The running agent container: another id is another agent, to be dialled at once. */
  #agentId: string | undefined;
  #attempt = 0;
  /** When the tunnel got its present carrier, or its last. */
  #attachedMs = Number.NEGATIVE_INFINITY;
  /** Ends the wait before the next attempt. */
  #retry: (() => void) | undefined;

  constructor(object: KubeObject, way: PodWay) {
    this.name = object.metadata.name;
    this.#object = object;
    this.#agentId = runningAgent(object);
    this.#way = way;
  }

  /** As the watch saw it last. */
  get object(): KubeObject {
    return this.#object;
  }

  /** Set while the ports are claimed on it, also while it waits for another carrier. */
  get tunnel(): AgentTunnel | undefined {
    return this.#tunnel;
  }

  /** The tunnel from when it is up, or that the last attempt failed; undefined: none is over yet. */
  get reached(): AgentTunnel | 'not' | undefined {
    return this.#reached;
  }

  /** Why there is no way to the agent now, and since when (performance.now()); undefined: there is one, or none was tried yet. */
  get lost(): { readonly reason: string; readonly sinceMs: number } | undefined {
    return this.#tunnel === undefined ? this.#lost : this.#tunnel.detached;
  }

  /** The watch has seen it. */
  see(object: KubeObject): void {
    this.#object = object;
    const agentId = runningAgent(object);
    if (agentId === undefined || agentId === this.#agentId) return;
    this.#agentId = agentId;
    this.#attempt = 0;
    this.#retry?.();
  }

  letGo(reason: string): void {
    this.#abort.abort(new Error(reason));
    this.#retry?.();
  }

  /** Keeps a tunnel to the pod until letGo(). Never rejects. */
  async follow(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        await this.#connectAndKeep(signal);
      } catch (error) {
        if (signal.aborted) break;
        this.#failed(errorText(error));
        this.#way.log.debug('tunnel failed', { pod: this.name, reason: errorText(error) });
        if (error instanceof InterceptorError && isFinal(error)) this.#way.onFinal(error);
      }
      if (signal.aborted) break;
      this.#way.onChanged();
      await this.#pause(backoffMs(this.#attempt++));
    }
    this.#way.onChanged();
  }

  async #connectAndKeep(signal: AbortSignal): Promise<void> {
    const way = this.#way;
    const tunnel = await way.connect(this.#object, signal, (reached) => {
      this.#reached = reached;
      way.onChanged();
    });
    this.#attempt = 0;
    this.#tunnel = tunnel;
    this.#lost = undefined;
    const close = (): void => void tunnel.close();
    signal.addEventListener('abort', close, { once: true });
    if (signal.aborted)
      close(); // let go while the last answer was under way
    else way.onClaimed(tunnel);
    // One that is let go is closed, and without a carrier it is not over before that has gone its way.
    while (!tunnel.isOver && !signal.aborted) {
      await tunnel.untilDetached();
      if (!tunnel.isOver && !signal.aborted) await this.#bringBack(tunnel, signal);
    }
    const lost = await tunnel.mux.closed;
    signal.removeEventListener('abort', close);
    this.#tunnel = undefined;
    if (signal.aborted) return;
    const reason = lost === undefined ? 'closed by the agent' : errorText(lost);
    this.#failed(reason);
    if (isServing(this.#object)) way.report({ event: 'disconnected', pod: this.name, reason });
  }

  /** Dials until the tunnel has a carrier again, or is over: its own time without one passes, or the agent has no more of it. */
  async #bringBack(tunnel: AgentTunnel, signal: AbortSignal): Promise<void> {
    const way = this.#way;
    const { reason, sinceMs } = tunnel.detached ?? { reason: '', sinceMs: performance.now() };
    if (isServing(this.#object)) way.report({ event: 'reconnecting', pod: this.name, reason });
    way.onChanged();
    const over = new AbortController();
    void tunnel.mux.closed.then(() => {
      over.abort(new Error('the tunnel is over'));
      this.#retry?.();
    });
    // A network that cuts whatever is made must not be dialled without a pause.
    const first = performance.now() - this.#attachedMs < SHORT_LIVED_MS ? 2 : 0;
    for (let attempt = first; !tunnel.isAttached && !tunnel.isOver && !signal.aborted; attempt++) {
      await this.#pause(redialMs(attempt));
      if (tunnel.isOver || signal.aborted) break;
      try {
        await way.redial(tunnel, AbortSignal.any([signal, over.signal]));
      } catch (error) {
        if (signal.aborted || tunnel.isOver) break;
        way.log.debug('tunnel not back yet', { pod: this.name, reason: errorText(error) });
        if (isNotFound(error)) await tunnel.close(); // the pod is deleted: nobody has anything of the tunnel any more
      }
    }
    if (!tunnel.isAttached) return;
    this.#attachedMs = performance.now();
    way.report({ event: 'reconnected', pod: this.name, ms: Math.round(performance.now() - sinceMs) });
    way.onChanged();
  }

  #failed(reason: string): void {
    this.#lost = { reason, sinceMs: this.#lost?.sinceMs ?? performance.now() };
    this.#reached = 'not';
  }

  async #pause(ms: number): Promise<void> {
    if (ms === 0) return;
    const waiting = new AbortController();
    this.#retry = () => waiting.abort();
    await pause(ms, waiting.signal);
    this.#retry = undefined;
  }
}

/** Errors that dialling again does not cure. What a claim is refused for is for Claims to say. */
function isFinal(error: InterceptorError): boolean {
  const final: readonly string[] = ['TUNNEL_VERSION', 'TUNNEL_UNAUTHENTICATED', 'CLUSTER_FORBIDDEN'];
  return final.includes(error.code);
}
