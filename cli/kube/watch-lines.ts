import type { Readable } from 'node:stream';
import type { KubeObject } from './client-types.ts';
import { KubeStatusError } from './status-errors.ts';
import { statusOf } from './status-parse.ts';

/** etcd stores at most 1.5 MiB an object; JSON may be somewhat larger. */
const MAX_LINE_BYTES = 8 * 1024 * 1024;
const NEWLINE = 10;

export interface WatchLine<T extends KubeObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
}

/**
 * The events of a watch's body: one JSON object a line.
 * @throws KubeStatusError for an ERROR event (410: list again); Error for a line that is no event or never ends
 */
export async function* readWatchEvents<T extends KubeObject>(
  body: Readable,
): AsyncGenerator<WatchLine<T>, void, undefined> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      parts.push(chunk.subarray(from, at));
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      bytes = 0;
      from = at + 1;
      if (line.trim() !== '') yield parseLine<T>(line);
    }
    if (from < chunk.byteLength) parts.push(chunk.subarray(from));
    bytes += chunk.byteLength - from;
    if (bytes > MAX_LINE_BYTES) throw new Error(`a watch event is larger than ${MAX_LINE_BYTES} bytes`);
  }
}

function parseLine<T extends KubeObject>(line: string): WatchLine<T> {
  const { type, object } = JSON.parse(line) as { type?: unknown; object?: unknown };
  if (type === 'ERROR') {
    const answer = statusOf(object, 500);
    throw new KubeStatusError('CLUSTER_REFUSED', `the watch was ended: ${answer.serverMessage}`, answer);
  }
  const known = type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED' || type === 'BOOKMARK';
  if (!known || typeof object !== 'object' || object === null || !('metadata' in object)) {
    throw new Error('a watch sent something that is no event');
  }
  return { type, object: object as T };
}
