import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { test } from 'vitest';
import { resourcePath, withQuery } from '../../../cli/kube/client.ts';
import { clientFor, POD, sendJson, statusObject, wireServer } from './api-fixture.ts';

test('paths follow group, namespace, name and subresource', () => {
  const apiVersion = 'apps/v1';
  assert.equal(resourcePath({ apiVersion: 'v1', resource: 'nodes' }), '/api/v1/nodes');
  assert.equal(
    resourcePath({ apiVersion, resource: 'deployments', namespace: 'shop', name: 'a/b', subresource: 'scale' }),
    '/apis/apps/v1/namespaces/shop/deployments/a%2Fb/scale',
  );
  assert.equal(withQuery('/x?a=1', { b: 'c d', no: undefined, yes: true }), '/x?a=1&b=c+d&yes=true');
});

test('objects arrive as they were sent, over one kept-alive connection, with the token', async () => {
  const seen: string[] = [];
  const server = await wireServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    sendJson(response, 200, POD);
  });
  const client = await clientFor(server.url);
  assert.deepEqual(await client.get('/api/v1/namespaces/x/pods/a'), POD);
  await client.get('/b');
  await client.get('/c');
  assert.equal(seen[0], 'GET /api/v1/namespaces/x/pods/a Bearer s3cret');
  assert.equal(server.connections(), 1);
});

test('a path prefix of the server comes before every path', async () => {
  const server = await wireServer((request, response) => sendJson(response, 200, { metadata: { name: request.url } }));
  const client = await clientFor(`${server.url}/k8s/clusters/c-1`);
  assert.equal((await client.get('/api/v1/pods/a')).metadata.name, '/k8s/clusters/c-1/api/v1/pods/a');
});

test('writes carry their content type, field manager and dry run; deleting what is gone is false', async () => {
  const seen: unknown[] = [];
  const server = await wireServer(async (request, response) => {
    seen.push([request.method, request.url, request.headers['content-type'], JSON.parse(await text(request))]);
    if (request.method === 'DELETE') sendJson(response, 404, statusObject(404, 'NotFound', 'gone'));
    else sendJson(response, 200, POD);
  });
  const client = await clientFor(server.url);
  await client.create('/p', POD, { dryRun: true });
  await client.patch('/p/a', [{ op: 'remove', path: '/x' }], 'json');
  await client.patch('/p/a', { x: null }, 'merge', { fieldManager: 'me' });
  await client.patch('/p/a', { y: 1 }, 'strategic');
  assert.equal(await client.delete('/p/a', { propagationPolicy: 'Background' }), false);
  assert.deepEqual(seen, [
    ['POST', '/p?fieldManager=kube-intercept&dryRun=All', 'application/json', POD],
    ['PATCH', '/p/a?fieldManager=kube-intercept', 'application/json-patch+json', [{ op: 'remove', path: '/x' }]],
    ['PATCH', '/p/a?fieldManager=me', 'application/merge-patch+json', { x: null }],
    ['PATCH', '/p/a?fieldManager=kube-intercept', 'application/strategic-merge-patch+json', { y: 1 }],
    [
      'DELETE',
      '/p/a',
      'application/json',
      { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' },
    ],
  ]);
});

test('a list of several pages is whole, its items carry kind and apiVersion; a page that expired leads to one unpaged list', async () => {
  let expired = false;
  const item = (name: string): object => ({ metadata: { name } });
  const list = (items: object[], more: object = {}): object => ({
    kind: 'PodList',
    apiVersion: 'v1',
    metadata: { resourceVersion: '7', ...more },
    items,
  });
  const server = await wireServer((request, response) => {
    const query = new URL(request.url ?? '', 'http://x').searchParams;
    if (query.get('limit') === null) sendJson(response, 200, list([item('x'), item('y')]));
    else if (query.get('continue') === null) sendJson(response, 200, list([item('a')], { continue: 'more' }));
    else if (expired) sendJson(response, 410, statusObject(410, 'Expired', 'too old'));
    else sendJson(response, 200, list([item('b')]));
  });
  const client = await clientFor(server.url);
  assert.deepEqual(await client.list('/api/v1/pods', { labelSelector: 'a=b' }), {
    metadata: { resourceVersion: '7' },
    items: ['a', 'b'].map((name) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name } })),
  });
  expired = true;
  assert.deepEqual(
    (await client.list('/api/v1/pods')).items.map(({ metadata }) => metadata.name),
    ['x', 'y'],
  );
});
