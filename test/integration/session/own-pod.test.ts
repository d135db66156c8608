import assert from 'node:assert/strict';
import { json } from 'node:stream/consumers';
import { test } from 'vitest';
import { PodHost } from '../../../cli/session/pod-host.ts';
import { silentLog } from '../../../src/log.ts';
import { clientFor, sendJson, statusObject, wireServer } from '../kube/api-fixture.ts';

/** A session whose pod is not made, or without an answer; it ends. @returns what was deleted */
async function deletedAfter(creation: 'lost' | 'refused'): Promise<string[]> {
  let pod: object | undefined;
  const deleted: string[] = [];
  const server = await wireServer(async (asked, response) => {
    if (asked.method === 'POST' && creation === 'lost') {
      pod = Object(await json(asked));
      response.destroy(); // the network changes now
    } else if (asked.method === 'POST') sendJson(response, 403, statusObject(403, 'Forbidden', 'exceeded quota'));
    else if (asked.method === 'DELETE') {
      deleted.push(asked.url?.split('?', 1)[0] ?? '');
      sendJson(response, 200, { kind: 'Status', status: 'Success' });
    } else if (pod !== undefined) sendJson(response, 200, pod);
    else sendJson(response, 404, statusObject(404, 'NotFound', 'no such pod'));
  });
  const host = new PodHost({
    client: await clientFor(server.url),
    request: {
      namespace: 'shop',
      agent: { image: 'node:22-slim', code: 'agent();' },
      serviceAccount: undefined,
      createdBy: { user: 'ann', host: 'laptop' },
    },
    report: () => {},
    log: silentLog,
  });
  const { signal } = new AbortController();
  const failure = await host.bring(signal).then(
    () => assert.fail('it was made'),
    (error: unknown) => error,
  );
  assert.equal(await host.handBack({ error: failure, statuses: [], replaces: [], signal }), 'settled');
  return deleted.map((path) => path.replace(host.ref.name, '…'));
}

test('a pod that was made without an answer is deleted, with what is its', async () => {
  const [pod, ...objects] = await deletedAfter('lost');
  assert.equal(pod, '/api/v1/namespaces/shop/pods/…');
  assert.deepEqual(objects.map((path) => path.split('/')[5]).sort(), ['configmaps', 'secrets']);
});

test('one that was refused is none', async () => {
  assert.deepEqual(await deletedAfter('refused'), []);
});
