import type { AgentStatus, AppPort } from '../../src/protocol/control.ts';
import type { PortStatus } from './status.ts';

/** Pods told apart, times ports; of more, the one that has been silent for longest is only part of the sum. */
const MAX_REMEMBERED = 1_024;

type Count = Required<Pick<PortStatus, 'taken' | 'dropped'>>;

/**
 * What agents have handed over in the whole session. Each counts since its claim: one that is made anew begins at 0, and what
 * a pod has counted goes with it.
 */
export class TakenCounts {
  readonly #sessionId: string;
  /** As each agent told it last, by pod and port; the one that told last is the last. */
  readonly #last = new Map<string, { readonly port: string; readonly count: Count }>();
  /** Of claims that are over, by port. */
  readonly #before = new Map<string, Count>();

  constructor(sessionId: string) {
    this.#sessionId = sessionId;
  }

  /** Takes what an agent says. */
  note({ pod, intercepts }: Pick<AgentStatus, 'pod' | 'intercepts'>): void {
    for (const { sessionId, taken, dropped, ...of } of intercepts) {
      if (sessionId !== this.#sessionId) continue;
      const key = `${pod} ${portKey(of)}`;
      const known = this.#last.get(key);
      if (known !== undefined && (taken < known.count.taken || dropped < known.count.dropped)) this.#keep(known);
      this.#last.delete(key);
      this.#last.set(key, { port: portKey(of), count: { taken, dropped } });
    }
    for (const [key, oldest] of this.#last) {
      if (this.#last.size <= MAX_REMEMBERED) break;
      this.#keep(oldest);
      this.#last.delete(key);
    }
  }

  /** @returns undefined: no agent has told yet */
  of(port: AppPort): Count | undefined {
    const key = portKey(port);
    const counts = [...this.#last.values()].flatMap((one) => (one.port === key ? [one.count] : []));
    const before = this.#before.get(key);
    return before === undefined && counts.length === 0 ? undefined : counts.reduce(sum, before ?? NONE);
  }

  #keep({ port, count }: { readonly port: string; readonly count: Count }): void {
    this.#before.set(port, sum(this.#before.get(port) ?? NONE, count));
  }
}

const NONE: Count = { taken: 0, dropped: 0 };

const portKey = ({ appPort, protocol }: AppPort): string => `${appPort}/${protocol}`;

function sum(one: Count, other: Count): Count {
  return { taken: one.taken + other.taken, dropped: one.dropped + other.dropped };
}
