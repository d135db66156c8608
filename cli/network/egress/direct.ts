import { addAbortListener } from 'node:events';
import { AbortGroup } from '../../../src/abort-group.ts';
import { routeHttp } from '../../../src/http/detect.ts';
import type { CompiledFilter } from '../../../src/http/filters/match.ts';
import { FilterTable } from '../../../src/http/filters/table.ts';
import { type Answerer, BY_FIELD, type HttpRoutes, type Resettable } from '../../../src/http/routing.ts';
import type { Log } from '../../../src/log.ts';
import { splice } from '../../../src/net/splice.ts';
import { TaskGroup } from '../../../src/task-group.ts';
import type { Egress, Outgoing } from '../types.ts';
import { duplexPair } from './duplex-pair.ts';

/** A session of this laptop that has what goes to a Service's port, or some of it. */
export interface DirectTarget {
  readonly id: string;
  readonly by: string;
  readonly mark: boolean;
  /** Of two filters of which none is more specific the one with the smaller number goes first. */
  readonly order: number;
  /** Undefined: all of it. */
  readonly filter: CompiledFilter | undefined;
  /** Resolves once its process has taken the connection. @throws why it is not; the signal's reason */
  open(signal: AbortSignal): Promise<Outgoing>;
}

export interface DirectTargets {
  /** Never rejects; none where this is no Service's port that a session has. */
  find(host: string, port: number): Promise<readonly DirectTarget[]>;
}

export interface DirectOptions {
  readonly targets: DirectTargets;
  /** What the user has said to leave from the laptop, names and addresses, is nobody's Service. */
  readonly isLaptops: (host: string) => boolean;
  readonly log: Log;
}

type DialCluster = (signal: AbortSignal) => Promise<Outgoing>;

/** Names and ports of Services that are remembered. */
const MAX_PLACES = 256;

export interface DirectEgress extends Egress {
  /** Resets the connections whose requests it routes. */
  close(): Promise<void>;
}

/**
 * Lets connections to Services whose callers another session of this laptop takes go straight to its process; with a filter
 * each request on its own. Whatever its process does not take goes the way it would without that session.
 */
export function directEgress(inner: Egress, { targets, isLaptops, log }: DirectOptions): DirectEgress {
  const routed = new RoutedConnections(log);
  return {
    async dialTcp(host, port, signal) {
      if (isLaptops(host)) return await inner.dialTcp(host, port, signal);
      const found = await targets.find(host, port);
      signal.throwIfAborted();
      const whole = found.find(({ filter }) => filter === undefined);
      if (whole !== undefined) {
        try {
          return await whole.open(signal);
        } catch (error) {
          signal.throwIfAborted();
          log.debug('not called directly', { host, port, reason: String(error) });
        }
      } else if (found.length > 0) {
        return routed.begin(found, `${host}:${port}`, (until) => inner.dialTcp(host, port, until));
      }
      return await inner.dialTcp(host, port, signal);
    },
    openUdp: (host, port) => inner.openUdp(host, port),
    close: () => routed.close(),
  };
}

/** Connections of which each request goes to the session whose filter matches it, else to the cluster. */
class RoutedConnections {
  readonly #log: Log;
  readonly #tasks = new TaskGroup();
  readonly #connections = new AbortGroup();
  readonly #clusters = new Map<string, Answerer>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** The cluster is dialled for the first request that needs it: where all go directly, it is not asked. */
  begin(targets: readonly DirectTarget[], place: string, dialCluster: DialCluster): Outgoing {
    const cluster = this.#clusterAt(place, dialCluster);
    const table = new FilterTable(
      targets.flatMap(({ filter, order, ...target }) =>
        filter === undefined ? [] : [{ filter, order, value: answererOf(target, cluster) }],
      ),
    );
    const routes: HttpRoutes = { decide: (head) => ({ answerer: table.lookup(head) ?? cluster, mirrors: [] }) };
    const [near, far] = duplexPair();
    this.#tasks.add(this.#connections.run((signal) => this.#route(far, routes, cluster, signal)));
    return near;
  }

  /** One for each place: what the router learns of it (whether it speaks HTTP/2) is kept with the object. */
  #clusterAt(place: string, connect: DialCluster): Answerer {
    const known = this.#clusters.get(place);
    if (known !== undefined) return known;
    if (this.#clusters.size >= MAX_PLACES) this.#clusters.clear();
    const ofNone = { fallback: undefined, requestFields: [], responseFields: [] };
    const answerer: Answerer = { id: 'cluster', connect, ...ofNone, began: () => () => {} };
    this.#clusters.set(place, answerer);
    return answerer;
  }

  async close(): Promise<void> {
    this.#connections.abort(new Error('session ended'));
    await this.#tasks.close();
  }

  async #route(caller: Resettable, routes: HttpRoutes, cluster: Answerer, signal: AbortSignal): Promise<void> {
    const passedOn: Promise<void>[] = [];
    using _ = addAbortListener(signal, () => caller.resetAndDestroy()); // before its first byte, too
    await routeHttp(caller, routes, {
      app: cluster,
      signal,
      log: this.#log,
      passOn: (_caller, first, _speaks, dialCluster) => passedOn.push(this.#passOn(caller, first, dialCluster, signal)),
    });
    await Promise.all(passedOn);
  }

  /** What is no HTTP is the cluster's: no filter matches it. */
  async #passOn(
    caller: Resettable,
    first: Buffer,
    dialCluster: (signal: AbortSignal) => Promise<Resettable>,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const cluster = await dialCluster(signal);
      if (first.byteLength > 0) cluster.write(first);
      const over = splice(caller, cluster, signal);
      if (caller.readableEnded) cluster.end(); // its end was read behind the first bytes
      await over;
    } catch (error) {
      caller.resetAndDestroy();
      this.#log.debug('connection ended early', { reason: String(error) });
    }
  }
}

function answererOf({ id, by, mark, open }: Omit<DirectTarget, 'filter' | 'order'>, cluster: Answerer): Answerer {
  return {
    id,
    connect: open,
    fallback: cluster,
    requestFields: [[BY_FIELD, by]],
    responseFields: mark ? [[BY_FIELD, by]] : [],
    began: () => () => {},
  };
}
