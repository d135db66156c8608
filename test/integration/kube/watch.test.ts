import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'vitest';
import { describeState, type WatchEvent, type WatchOptions, watch } from '../../../cli/kube/watch.ts';
import { clientFor, sendJson, statusObject, wireServer } from './api-fixture.ts';

const PATH = '/api/v1/namespaces/x/pods';

function pod(name: string, resourceVersion: string): object {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, uid: `uid-${name}`, resourceVersion } };
}

/** Answers lists and watches in the order given; the last of each stays. */
class Script {
  readonly asked: string[] = [];
  readonly lists: object[][];
  readonly watches: ((response: ServerResponse, request: IncomingMessage) => void)[];

  constructor(lists: object[][], watches: Script['watches']) {
    this.lists = lists;
    this.watches = watches;
  }

  readonly handle = (request: IncomingMessage, response: ServerResponse): void => {
    const query = new URL(request.url ?? '', 'http://x').searchParams;
    if (query.get('watch') === null) {
      this.asked.push('list');
      const items = this.lists.length > 1 ? this.lists.shift() : this.lists[0];
      sendJson(response, 200, { kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: '10' }, items });
      return;
    }
    this.asked.push(`watch ${query.get('resourceVersion')}`);
    const answer = this.watches.length > 1 ? this.watches.shift() : this.watches[0];
    answer?.(response, request);
  };
}

function send(response: ServerResponse, type: string, object: object): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

const open = (response: ServerResponse): void => {
  response.writeHead(200);
  response.flushHeaders();
};

/** Reads `count` events as `TYPE name`, then ends the watch. */
async function take(script: Script, count: number, options: Partial<WatchOptions> = {}): Promise<string[]> {
  const server = await wireServer(script.handle, 'plain');
  const client = await clientFor(server.url);
  const stop = new AbortController();
  const seen: string[] = [];
  for await (const event of watch(client, PATH, { signal: stop.signal, ...options })) {
    seen.push(describe(event));
    if (seen.length === count) stop.abort(new Error('enough'));
  }
  return seen;
}

function describe(event: WatchEvent): string {
  return event.type === 'SYNC' ? 'SYNC' : `${event.type} ${event.object.metadata.name}`;
}

test('the objects of the list come first, then SYNC, then each change; bookmarks and events cut anywhere are no matter', async () => {
  const script = new Script(
    [[pod('a', '1'), pod('b', '2')]],
    [
      (response) => {
        open(response);
        send(response, 'BOOKMARK', { kind: 'Pod', metadata: { resourceVersion: '11' } });
        const line = `${JSON.stringify({ type: 'MODIFIED', object: pod('ä', '12') })}\n`;
        const bytes = Buffer.from(line + line.replace('MODIFIED', 'DELETED'));
        let at = 0;
        const drip = (): void => {
          if (at >= bytes.byteLength) return;
          response.write(bytes.subarray(at, at + 7), () => setImmediate(drip));
          at += 7;
        };
        drip();
      },
    ],
  );
  assert.deepEqual(await take(script, 5), ['ADDED a', 'ADDED b', 'SYNC', 'ADDED ä', 'DELETED ä']);
  assert.deepEqual(script.asked, ['list', 'watch 10']);
});

test('a cut watch goes on from the last version, bookmarks included, without another list', async () => {
  const script = new Script(
    [[pod('a', '1')]],
    [
      (response) => {
        open(response);
        send(response, 'BOOKMARK', { kind: 'Pod', metadata: { resourceVersion: '15' } });
        setImmediate(() => response.destroy());
      },
      (response) => {
        open(response);
        send(response, 'MODIFIED', pod('a', '16'));
      },
    ],
  );
  const states: string[] = [];
  const seen = await take(script, 3, { onState: (state) => states.push(describeState(state).split(':')[0] ?? '') });
  assert.deepEqual(seen, ['ADDED a', 'SYNC', 'MODIFIED a']);
  assert.deepEqual(script.asked, ['list', 'watch 10', 'watch 15']);
  assert.deepEqual(states, ['connected', 'reconnecting', 'connected']);
});

test('when the history is gone (410, as status or as event) the differences of a new list are delivered, vanished objects as DELETED', async () => {
  const gone = statusObject(410, 'Expired', 'too old resource version');
  const script = new Script(
    [
      [pod('a', '1'), pod('b', '2')],
      [pod('a', '1'), pod('c', '3')],
      [pod('a', '4'), pod('c', '3')],
    ],
    [
      (response) => sendJson(response, 410, gone),
      (response) => {
        open(response);
        send(response, 'ERROR', gone);
        response.end();
      },
      open,
    ],
  );
  assert.deepEqual(await take(script, 8), [
    'ADDED a',
    'ADDED b',
    'SYNC',
    'DELETED b',
    'ADDED c',
    'SYNC',
    'MODIFIED a',
    'SYNC',
  ]);
});

test('an object made again under its name is another object', async () => {
  const again = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', uid: 'other', resourceVersion: '9' } };
  const script = new Script(
    [[pod('a', '1')], [again]],
    [(response) => sendJson(response, 410, statusObject(410, 'Expired', ''))],
  );
  assert.deepEqual(await take(script, 5), ['ADDED a', 'SYNC', 'DELETED a', 'ADDED a', 'SYNC']);
});

test('a server that ends or refuses every watch at once is not asked in a tight loop', async () => {
  for (const answer of [
    (response: ServerResponse) => response.writeHead(200).end(),
    (response: ServerResponse) => sendJson(response, 500, statusObject(500, 'InternalError', 'x')),
    (response: ServerResponse) => response.destroy(),
  ]) {
    const script = new Script([[]], [answer]);
    const server = await wireServer(script.handle, 'plain');
    const client = await clientFor(server.url);
    const signal = AbortSignal.timeout(1_000);
    for await (const _ of watch(client, PATH, { signal }));
    // 100…200, 200…400, 400…800 ms: at most 5 attempts in a second; a closed socket is tried twice each time.
    const watches = script.asked.filter((asked) => asked.startsWith('watch')).length;
    assert.ok(watches >= 2 && watches <= 10, `${watches} watches`);
  }
});

test('the first list’s refusal is thrown; later ones are only reported', async () => {
  const refused = await wireServer(
    (_request, response) => sendJson(response, 404, statusObject(404, 'NotFound', 'no such')),
    'plain',
  );
  const client = await clientFor(refused.url);
  await assert.rejects(watch(client, PATH, { signal: new AbortController().signal }).next(), /no such/);
});

test('a path that goes dead is noticed when the watch has not ended in its time', async () => {
  const script = new Script([[]], [open]);
  const states: string[] = [];
  const server = await wireServer(script.handle, 'plain');
  const client = await clientFor(server.url);
  const stop = new AbortController();
  const onState: WatchOptions['onState'] = (state) => {
    states.push(describeState(state));
    if (states.length === 2) stop.abort();
  };
  // The server of this test never ends the watch it was asked to end after one second.
  for await (const _ of watch(client, PATH, { signal: stop.signal, timeoutSeconds: 1, endGraceMs: 100, onState }));
  assert.deepEqual(states, ['connected', 'reconnecting: the watch did not end in time: the connection is dead']);
});

test('a consumer that leaves the loop closes the connection', async () => {
  const script = new Script(
    [[pod('a', '1')]],
    [
      (response) => {
        open(response);
        send(response, 'MODIFIED', pod('a', '2'));
      },
    ],
  );
  const server = await wireServer(script.handle, 'plain');
  const client = await clientFor(server.url);
  for await (const event of watch(client, PATH, { signal: new AbortController().signal }))
    if (event.type === 'MODIFIED') break;
  await Promise.all(
    [...server.sockets].map(
      (socket) => new Promise((resolve) => (socket.destroyed ? resolve(0) : socket.once('close', resolve))),
    ),
  );
});
