import type { Log } from '../src/log.ts';
import { Link } from '../src/mux/link.ts';
import type { ResumePoint } from '../src/mux/resume-point.ts';
import type { Transport } from '../src/mux/transport.ts';
import type { LinkOffer, SessionIdentity } from '../src/protocol/control.ts';
import { MAX_DETACHED_BYTES, MAX_DETACHED_LINKS } from './limits.ts';

export interface LinksOptions {
  readonly log: Log;
  readonly maxDetached?: number;
  readonly maxDetachedBytes?: number;
}

/** What becomes of a link, for the tunnel on it. */
export interface LinkHandlers {
  onAttached(): void;
  onDetached(): void;
}

/**
 * The links of all sessions, by session and link id: who proves itself as a session and names a link of that session gets its
 * tunnel back, with all that is open in it. Of those without a carrier so many are kept, with so many bytes.
 */
export class Links {
  readonly #links = new Map<string, Link>();
  readonly #options: LinksOptions;

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#links.size;
  }

  /** The link of that name, as long as it is not over. */
  find(session: SessionIdentity, id: string): Link | undefined {
    return this.#links.get(keyOf(session, id));
  }

  /** A link as a session asks for it, without a carrier yet. */
  make(session: SessionIdentity, { id, resumeMs }: LinkOffer, handlers: LinkHandlers): Link {
    const key = keyOf(session, id);
    const link = new Link({
      id,
      resumeForMs: resumeMs,
      log: this.#options.log,
      onAttached: () => handlers.onAttached(),
      onDetached: (reason) => {
        this.#options.log.debug('carrier of a session lost', { session: session.sessionId, reason: reason.message });
        handlers.onDetached();
        this.#shed();
      },
    });
    this.#links.set(key, link);
    return link;
  }

  /** The link is over. */
  delete(session: SessionIdentity, link: Link): void {
    const key = keyOf(session, link.id);
    if (this.#links.get(key) === link) this.#links.delete(key);
  }

  /** Ends links without a carrier until the others are within the limits: the one that keeps most, or has waited longest. */
  #shed(): void {
    const { maxDetached = MAX_DETACHED_LINKS, maxDetachedBytes = MAX_DETACHED_BYTES, log } = this.#options;
    const detached = [...this.#links.values()].filter((link) => link.detachedSinceMs !== undefined);
    let bytes = detached.reduce((sum, { unackedBytes }) => sum + unackedBytes, 0);
    detached.sort((a, b) => (a.detachedSinceMs ?? 0) - (b.detachedSinceMs ?? 0));
    for (const link of detached.splice(0, Math.max(0, detached.length - maxDetached))) {
      bytes -= link.unackedBytes;
      log.warn('too many sessions are away, one is not waited for', {});
      link.fail(new Error('too many sessions are away'));
    }
    detached.sort((a, b) => b.unackedBytes - a.unackedBytes);
    for (const link of detached) {
      if (bytes <= maxDetachedBytes) return;
      bytes -= link.unackedBytes;
      log.warn('sessions that are away keep too much, one is not waited for', {});
      link.fail(new Error('too much is kept for sessions that are away'));
    }
  }
}

/** Attaches a carrier behind its handshake; a link that does not fit its peer is over by that. */
export function attachCarrier(link: Link, carrier: Transport, at: ResumePoint, log: Log): void {
  try {
    link.attach(carrier, at);
  } catch (failure) {
    log.debug('a carrier could not be attached', { reason: String(failure) });
  }
}

function keyOf({ sessionId }: SessionIdentity, id: string): string {
  return `${id} ${sessionId}`; // an id has no space
}
