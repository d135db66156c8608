import { errorText } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import { isForbidden, type KubeClient, type KubeObject, resourcePath } from '../../kube/client.ts';
import type { Service } from '../../kube/objects.ts';
import { type WatchEvent, watch } from '../../kube/watch.ts';
import type { ServiceTable } from './service-table.ts';
import type { Endpoints } from './standing.ts';

export interface FollowOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly table: ServiceTable;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Something has changed in the table since the last call; several changes may be one call. */
  readonly onChange: () => void;
}

/** How far we see. */
export type Scope = 'all' | 'namespace' | 'none';

export interface Following {
  readonly scope: Scope;
  /** Ends when the signal does. */
  readonly done: Promise<void>;
}

/** Keeps the table as the cluster is: all namespaces where the user may list them, else the one given. Resolves once it is known. */
export async function followServices(options: FollowOptions): Promise<Following> {
  for (const scope of ['all', 'namespace'] as const) {
    const ended = new AbortController();
    const signal = AbortSignal.any([options.signal, ended.signal]);
    try {
      const both = await Promise.all([
        followKind(options, 'services', scope, signal),
        followKind(options, 'endpoints', scope, signal),
      ]);
      return { scope, done: Promise.all(both.map(({ done }) => done)).then(() => {}) };
    } catch (error) {
      ended.abort(error);
      if (!isForbidden(error)) throw error;
      options.log.debug('may not follow services', { scope, reason: errorText(error) });
    }
  }
  return { scope: 'none', done: Promise.resolve() };
}

/** Resolves when the first list is in the table. The promise is in an object: awaiting this must not wait for the end. */
async function followKind(
  options: FollowOptions,
  resource: 'services' | 'endpoints',
  scope: 'all' | 'namespace',
  signal: AbortSignal,
): Promise<{ done: Promise<void> }> {
  const { client, namespace, log } = options;
  const path = resourcePath({ apiVersion: 'v1', resource, ...(scope === 'all' ? {} : { namespace }) });
  const events = watch<KubeObject>(client, path, {
    signal,
    onState: (state) => log.debug('watch', { resource, state: state.state }),
  });
  for (;;) {
    const next = await events.next();
    if (next.done === true) return { done: Promise.resolve() }; // aborted
    if (next.value.type === 'SYNC') break;
    take(options.table, resource, next.value);
  }
  const rest = async (): Promise<void> => {
    for await (const event of events) {
      if (event.type !== 'SYNC') take(options.table, resource, event);
      options.onChange();
    }
  };
  const done = rest().catch((error: unknown) =>
    log.warn('services are followed no more', { reason: errorText(error) }),
  );
  return { done };
}

function take(
  table: ServiceTable,
  resource: 'services' | 'endpoints',
  event: Exclude<WatchEvent, { type: 'SYNC' }>,
): void {
  const gone = event.type === 'DELETED';
  if (resource === 'services') {
    const service = event.object as Service; // what the API server lists there
    if (gone) table.removeService(service);
    else table.setService(service);
  } else {
    const endpoints = event.object as Endpoints;
    if (gone) table.removeEndpoints(endpoints);
    else table.setEndpoints(endpoints);
  }
}
