import type { InterceptorError } from '../../src/errors.ts';
import type { AppPort, Holder, Intercept, RouteTo, SessionIdentity } from '../../src/protocol/control.ts';
import type { AgentTunnel } from './agent-tunnel.ts';
import { RequestRefused } from './control-client.ts';
import { whoIs } from './identity.ts';
import { inUse } from './in-use.ts';
import { recentUses, usedElsewhere } from './last-uses.ts';

export interface ClaimsOptions {
  readonly namespace: string;
  readonly workload: string;
  readonly identity: SessionIdentity;
  /** What is claimed of each port, whoever answers it now; none: the session only stands inside. */
  readonly intercepts: readonly Omit<Intercept, 'to'>[];
  /** Who answers until route() says so: callers wait where there is no app. */
  readonly routeAtFirst: 'app' | 'held';
  /** Sessions in the way that are gone or idle are ended. */
  readonly takeOver: boolean;
  /** How long callers may wait while a port is `held`. */
  readonly holdMs: number;
  /** Own sessions that died on this laptop: their claims are inherited. */
  readonly replaces: readonly string[];
}

/** What a claim on one agent has to know of the workload's others. */
export interface ClaimedAgents {
  /** Whether the ports are claimed on one of them. */
  anyClaimed(): boolean;
  /** @throws why nothing more is claimed: the session gives up, or ends */
  throwIfOver(): void;
  /** An agent has refused, and it is not for this session to wait. */
  refused(error: InterceptorError): void;
  /** Resolves, when the agent of every ready pod has been dialled once, with tunnels to those that were reached. */
  untilReached(signal: AbortSignal): Promise<readonly AgentTunnel[]>;
}

/**
 * Of two sessions that start at the same moment each may get some of the pods. Then the one with the greater id gives up
 * at once, and the other waits this long for it.
 */
const SPLIT_CLAIM_MS = 10_000;

/** What the session claims of the workload's ports, and who answers each: the same on all agents, claimed on one after the other. */
export class Claims {
  readonly #options: ClaimsOptions;
  readonly #agents: ClaimedAgents;
  /** Who answers each claimed port, in the order of the intercepts. */
  readonly #routes: RouteTo[];
  #claiming: Promise<void> = Promise.resolve();
  #splitSinceMs: number | undefined;

  constructor(options: ClaimsOptions, agents: ClaimedAgents) {
    this.#options = options;
    this.#agents = agents;
    this.#routes = options.intercepts.map(() => options.routeAtFirst);
  }

  /** As they are now. */
  get intercepts(): Intercept[] {
    return this.#options.intercepts.map((intercept, index) => ({ ...intercept, to: this.#routes[index] ?? 'app' }));
  }

  /** From now on `to` answers the port, on agents that are claimed later. */
  route({ appPort, protocol }: AppPort, to: RouteTo): void {
    for (const [index, claimed] of this.#options.intercepts.entries())
      if (claimed.appPort === appPort && claimed.protocol === protocol) this.#routes[index] = to;
  }

  /**
   * One after the other: of two sessions that start together, the one that gets the first pod gets them all.
   * @throws InterceptorError TARGET_IN_USE; Error where the holder is about to give up; what control.request() throws
   */
  async claim(tunnel: AgentTunnel, signal: AbortSignal): Promise<void> {
    const turn = this.#claiming.then(async () => {
      const { replaces, takeOver, holdMs } = this.#options;
      this.#agents.throwIfOver();
      const uses = takeOver ? await this.#recentUses(signal) : new Map<string, number>();
      const spares = [...uses.keys()];
      try {
        await tunnel.control.request('claim', { intercepts: this.intercepts, replaces, takeOver, spares, holdMs });
      } catch (error) {
        if (!(error instanceof RequestRefused) || error.refusal.code !== 'TARGET_IN_USE') throw error;
        const { holder } = error.refusal;
        if (this.#waitsFor(holder)) throw new Error(`waiting for ${whoIs(holder)} to give up`);
        const refusal = inUse(
          this.#options,
          holder === undefined ? error.refusal : usedElsewhere(error.refusal, holder, uses),
        );
        // Before anybody's turn comes: what a session that has given up gets, the one that waits for it is refused.
        this.#agents.refused(refusal);
        throw refusal;
      }
    });
    this.#claiming = turn.catch(() => {});
    await turn;
  }

  /** An agent knows of its own pod's use only: nobody may lose a session here that is used on another pod. */
  async #recentUses(signal: AbortSignal): Promise<Map<string, number>> {
    return await recentUses(await this.#agents.untilReached(signal));
  }

  /** Whether the holder is a session that has got some of the pods just now, and will give them up. */
  #waitsFor(holder: Holder | undefined): holder is Holder {
    if (holder === undefined || !this.#agents.anyClaimed()) return false;
    if (!(this.#options.identity.sessionId < holder.sessionId)) return false;
    this.#splitSinceMs ??= Date.now();
    return Date.now() - this.#splitSinceMs < SPLIT_CLAIM_MS;
  }
}
