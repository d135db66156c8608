import { errorText } from '../src/errors.ts';
import type { Log } from '../src/log.ts';
import type { AgentHandshaken } from '../src/mux/handshake.ts';
import type { Link } from '../src/mux/link.ts';
import { Mux } from '../src/mux/mux.ts';
import type { SessionIdentity } from '../src/protocol/control.ts';
import type { TaskGroup } from '../src/task-group.ts';
import { heldByTunnels } from './held-bytes.ts';
import { MAX_TUNNEL_QUEUED_BYTES } from './limits.ts';
import { attachCarrier, Links } from './links.ts';
import type { Outgoing } from './outgoing/outgoing.ts';
import { RequestDispatcher, type RequestHandlers } from './requests.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';
import type { VolumePlaces } from './volumes/roots.ts';
import { SessionVolumes } from './volumes/volumes.ts';

export interface TunnelsOptions {
  readonly sessions: Sessions<Mux>;
  /** Serves the streams that sessions open. */
  readonly outgoing: Outgoing;
  /** Owns what goes on for a tunnel: its requests, and its end. */
  readonly tasks: TaskGroup;
  readonly handlers: (session: Session<Mux>, tunnel: Mux, volumes: SessionVolumes) => RequestHandlers;
  readonly isDraining: () => boolean;
  readonly volumePlaces: VolumePlaces | undefined;
  readonly log: Log;
}

/** The tunnels of all sessions, from the handshake to their end: each is a Mux on a link that may change its carrier. */
export class Tunnels {
  readonly #options: TunnelsOptions;
  readonly #log: Log;
  readonly #links: Links;
  readonly #open = new Set<Mux>();

  constructor(options: TunnelsOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#links = new Links({ log: options.log });
  }

  /** How many are not closed yet, those without a carrier among them. */
  get size(): number {
    return this.#open.size;
  }

  /** The link of that name, as long as it is not over. */
  findLink(session: SessionIdentity, id: string): Link | undefined {
    return this.#links.find(session, id);
  }

  /** A peer proved itself: its tunnel goes on over the new carrier, or begins. */
  take(peer: AgentHandshaken<Link>): void {
    attachCarrier(peer.resumed ?? this.#join(peer), peer.transport, peer.at, this.#log);
  }

  /** Closes all. May be called twice. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((tunnel) => tunnel.close()));
  }

  /** Makes a tunnel, still without a carrier. */
  #join({ session: identity, link: offer }: AgentHandshaken<Link>): Link {
    const { sessions, outgoing, tasks, volumePlaces } = this.#options;
    const link = this.#links.make(identity, offer, {
      onAttached: () => sessions.attached(session, tunnel),
      onDetached: () => sessions.detached(session, tunnel),
    });
    const tunnel: Mux = new Mux(link, {
      side: 'agent',
      log: this.#log,
      limits: { maxQueuedBytes: MAX_TUNNEL_QUEUED_BYTES },
      onOpen: (stream) => outgoing.serve(stream, tunnel),
      onControl: (message) => {
        if (message.type === 'request') tasks.add(requests.dispatch(message));
      },
    });
    const holder = {
      get heldBytes() {
        return tunnel.stats().queuedBytes + link.unackedBytes;
      },
      reset: () => link.fail(new Error('too much waits in this tunnel')),
    };
    heldByTunnels.add(holder);
    const session = sessions.connect(identity, tunnel);
    const volumes = new SessionVolumes(
      () => tunnel.sendControl({ type: 'event', event: 'files-changed' }),
      volumePlaces,
    );
    const requests = new RequestDispatcher(
      this.#options.handlers(session, tunnel, volumes),
      (response) => tunnel.sendControl(response),
      this.#log,
    );
    const { sessionId, user, host } = identity;
    this.#open.add(tunnel);
    this.#log.debug('tunnel opened', { session: sessionId, user, host });
    if (this.#options.isDraining()) tunnel.sendControl({ type: 'event', event: 'draining' });
    tasks.add(
      tunnel.closed.then((failure) => {
        this.#open.delete(tunnel);
        heldByTunnels.delete(holder);
        this.#links.delete(identity, link);
        volumes.close();
        sessions.lost(session, tunnel);
        const reason = failure === undefined ? 'closed' : errorText(failure);
        this.#log.debug('tunnel closed', { session: sessionId, reason });
      }),
    );
    return link;
  }
}
