import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import * as http from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'vitest';
import {
  isAlreadyExists,
  isConflict,
  isForbidden,
  isNotFound,
  resourcePath,
  withQuery,
} from '../../../cli/kube/client.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { makeCertificate } from '../../support/test-certificates.ts';
import { until } from '../../support/until.ts';
import { authority, clientFor, listen, sendJson, serverCertificate, statusObject, wireServer } from './api-fixture.ts';

const POD = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', extra: 1 }, spec: { unknown: ['kept'] } };

async function failure(promise: Promise<unknown>): Promise<InterceptorError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof InterceptorError, String(error));
  assert.doesNotMatch(`${error.message} ${error.hint}`, /s3cret/);
  return error;
}

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

test('refusals have their code, and say what is missing', async () => {
  const answers: Record<string, [number, string, string]> = {
    '/missing': [404, 'NotFound', 'pods "a" not found'],
    '/rights': [
      403,
      'Forbidden',
      'deployments.apps "web" is forbidden: User "dev" cannot patch resource "deployments" in API group "apps" in the namespace "shop"',
    ],
    '/cluster': [
      403,
      'Forbidden',
      'nodes is forbidden: User "dev" cannot list resource "nodes" in API group "" at the cluster scope',
    ],
    '/quota': [
      403,
      'Forbidden',
      'pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2',
    ],
    '/exists': [409, 'AlreadyExists', 'secrets "s" already exists'],
    '/changed': [409, 'Conflict', 'the object has been modified'],
    '/invalid': [422, 'Invalid', 'Deployment.apps "web" is invalid: spec.x: Required value'],
  };
  const server = await wireServer((request, response) => {
    const [code, reason, message] = answers[request.url ?? ''] ?? [500, '', ''];
    if (request.url === '/html') response.writeHead(502).end('<html>bad gateway</html>');
    else sendJson(response, code, statusObject(code, reason, message));
  });
  const client = await clientFor(server.url);
  const at = (where: string): Promise<InterceptorError> => failure(client.get(where));
  const missing = await at('/missing');
  assert.ok(
    isNotFound(missing) && missing.code === 'CLUSTER_REFUSED' && missing.message.includes('pods "a" not found'),
  );
  const rights = await at('/rights');
  assert.ok(isForbidden(rights));
  assert.equal(rights.message, 'user "dev" may not patch deployments (apps) in namespace "shop"');
  assert.equal(
    rights.hint,
    'missing rule in a Role: apiGroups ["apps"], resources ["deployments"], verbs ["patch"]; deploy/rbac.yaml has all that are needed',
  );
  const nodes = await at('/cluster');
  assert.match(
    `${nodes.message}; ${nodes.hint}`,
    /may not list nodes in the whole cluster; missing rule in a ClusterRole/,
  );
  const quota = await at('/quota');
  assert.deepEqual(
    [quota.code, quota.message.includes('exceeded quota: q'), quota.hint?.includes('ResourceQuota')],
    ['CLUSTER_REFUSED', true, true],
  );
  const exists = await at('/exists');
  assert.deepEqual([exists.code, isAlreadyExists(exists), isConflict(exists)], ['CLUSTER_CONFLICT', true, false]);
  assert.ok(isConflict(await at('/changed')));
  assert.match((await at('/invalid')).message, /spec.x: Required value/);
  assert.match((await at('/html')).message, /HTTP 502: an HTML page/);
});

test('401 renews credentials once; a second 401 names context, user and how they log in', async () => {
  const tokens: (string | undefined)[] = [];
  let good = 'Bearer two';
  const server = await wireServer((request, response) => {
    tokens.push(request.headers.authorization);
    if (request.headers.authorization === good) sendJson(response, 200, POD);
    else sendJson(response, 401, statusObject(401, 'Unauthorized', 'Unauthorized'));
  });
  const file = path.join(tmpdir(), `token-${process.pid}-${server.port}`);
  await writeFile(file, 'one');
  const client = await clientFor(server.url, { user: { tokenFile: file } });
  await client.access.credentials();
  await writeFile(file, 'two');
  await client.get('/a');
  assert.deepEqual(tokens, ['Bearer one', 'Bearer two']);
  good = 'Bearer three';
  const error = await failure(client.get('/a'));
  assert.deepEqual([error.code, tokens.length], ['CLUSTER_UNAUTHORIZED', 4]);
  assert.match(error.message, /does not accept user "ann" of context "test" \(token file/);
  assert.match(error.hint ?? '', /log in/);
});

test('an expired client certificate is called so when the server refuses it', async () => {
  const server = await wireServer((_request, response) =>
    sendJson(response, 401, statusObject(401, 'Unauthorized', 'Unauthorized')),
  );
  const { cert, key } = makeCertificate(['ann'], authority, { notAfter: new Date('2020-01-02T03:04:05Z') });
  const base64 = (pem: string): string => Buffer.from(pem).toString('base64');
  const client = await clientFor(server.url, {
    user: { 'client-certificate-data': base64(cert), 'client-key-data': base64(key) },
  });
  assert.match((await failure(client.get('/a'))).message, /the client certificate expired on 2020-01-02/);
});

test('what keeps the server from being reached is named', async () => {
  const ok: http.RequestListener = (_request, response) => sendJson(response, 200, POD);
  const reason = async (url: string, cluster: object = {}): Promise<string> => {
    const error = await failure((await clientFor(url, { cluster })).get('/a'));
    assert.equal(error.code, 'CLUSTER_UNREACHABLE');
    assert.ok(error.hint !== undefined && error.message.includes(url), error.message);
    return error.message;
  };
  const closed = createServer();
  const closedPort = await listen(closed);
  await new Promise((resolve) => closed.close(resolve));
  assert.match(await reason(`https://127.0.0.1:${closedPort}`), /connection refused$/);
  assert.match(await reason('https://no-such-host.invalid'), /name not found$|name server does not answer$/);
  const plain = await wireServer(ok, 'plain');
  assert.match(await reason(`https://127.0.0.1:${plain.port}`), /does not speak TLS$/);
  const foreign = await wireServer(ok, makeCertificate(['127.0.0.1'], { ...makeCertificate(['other authority']) }));
  assert.match(await reason(foreign.url), /signed by an unknown authority$/);
  const expired = await wireServer(
    ok,
    makeCertificate(['127.0.0.1'], authority, { notAfter: new Date(Date.now() - 1000) }),
  );
  assert.match(await reason(expired.url), /has expired$/);
  const named = await wireServer(ok, makeCertificate(['kubernetes'], authority));
  assert.match(await reason(named.url), /for another name/);
  assert.deepEqual(await (await clientFor(named.url, { cluster: { 'tls-server-name': 'kubernetes' } })).get('/a'), POD);
});

test('a server that accepts and says nothing is given up at the deadline, and at once when the caller aborts', async () => {
  const server = await wireServer(() => {});
  const client = await clientFor(server.url);
  const late = await failure(client.get('/a', { timeoutMs: 50 }));
  assert.match(late.message, /did not answer GET \/a within 0.05 s/);
  assert.equal(late.code, 'CLUSTER_UNREACHABLE');
  const stop = new AbortController();
  const call = client.get('/a', { signal: stop.signal });
  stop.abort(new Error('enough'));
  await assert.rejects(call, /enough/);
});

test('a kept-alive connection that the server has closed costs a GET nothing, and a POST is not sent twice', async () => {
  let requests = 0;
  const server = await wireServer((request, response) => {
    requests += 1;
    // The second request on a connection meets a close, as when a load balancer has dropped it meanwhile.
    const socket = request.socket as typeof request.socket & { used?: boolean };
    if (socket.used) socket.destroy();
    else sendJson(response, 200, POD);
    socket.used = true;
  });
  const client = await clientFor(server.url);
  await client.get('/a');
  await client.get('/a');
  assert.equal(requests, 3);
  const error = await failure(client.create('/a', POD));
  assert.deepEqual([error.code, requests], ['CLUSTER_UNREACHABLE', 4]);
});

test('429 is waited for as the server says', async () => {
  let requests = 0;
  const server = await wireServer((_request, response) => {
    requests += 1;
    if (requests === 1)
      sendJson(response, 429, statusObject(429, 'TooManyRequests', 'slow down'), { 'retry-after': '0' });
    else sendJson(response, 200, POD);
  });
  assert.deepEqual(await (await clientFor(server.url)).create('/a', POD), POD);
  const busy = await wireServer((_request, response) =>
    sendJson(response, 429, statusObject(429, 'TooManyRequests', 'slow down'), { 'retry-after': '0' }),
  );
  assert.match((await failure((await clientFor(busy.url)).get('/a'))).message, /slow down/);
});

test('requests go through an HTTP proxy with its password, and its refusal is reported without it', async () => {
  const server = await wireServer((_request, response) => sendJson(response, 200, POD));
  const seen: (string | undefined)[] = [];
  const proxy = http.createServer();
  proxy.on('connect', (request: http.IncomingMessage, socket) => {
    seen.push(`${request.url} ${request.headers['proxy-authorization']}`);
    if (request.headers['proxy-authorization'] !== `Basic ${Buffer.from('me:pw').toString('base64')}`) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const out = connect(server.port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(out).pipe(socket);
    });
    out.on('error', () => socket.destroy());
    socket.on('error', () => out.destroy());
  });
  const port = await listen(proxy);
  const through = await clientFor(server.url, { cluster: { 'proxy-url': `http://me:pw@127.0.0.1:${port}` } });
  assert.deepEqual(await through.get('/a'), POD);
  assert.equal(seen[0], `127.0.0.1:${server.port} Basic ${Buffer.from('me:pw').toString('base64')}`);
  const refused = await clientFor(server.url, { cluster: { 'proxy-url': `http://me:wrong@127.0.0.1:${port}` } });
  const error = await failure(refused.get('/a'));
  assert.match(
    error.message,
    /through the proxy http:\/\/127.0.0.1:\d+: refused by the proxy \(the proxy answered 407/,
  );
  assert.doesNotMatch(error.message, /wrong/);
});

test('requests go through a SOCKS 5 proxy, which gets the name', async () => {
  const server = await wireServer((_request, response) => sendJson(response, 200, POD));
  let asked = '';
  const proxy = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(Buffer.from([5, 0]));
      socket.once('data', (request) => {
        const length = request[4] ?? 0;
        asked = `${request.subarray(5, 5 + length).toString()}:${request.readUInt16BE(5 + length)}`;
        const out = connect(server.port, '127.0.0.1', () => {
          socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
          socket.pipe(out).pipe(socket);
        });
        out.on('error', () => socket.destroy());
        socket.once('close', () => out.destroy());
      });
    });
  });
  const port = await listen(proxy);
  const cluster = { 'proxy-url': `socks5://127.0.0.1:${port}` };
  const client = await clientFor(`https://localhost:${server.port}`, { cluster });
  assert.deepEqual(await client.get('/a'), POD);
  assert.equal(asked, `localhost:${server.port}`);
});

test('a closed client keeps no connection', async () => {
  const server = await wireServer((_request, response) => sendJson(response, 200, POD), serverCertificate);
  const client = await clientFor(server.url);
  await client.get('/a');
  const [socket] = server.sockets;
  const gone = new Promise((resolve) => socket?.once('close', resolve));
  await client.close();
  await client.close();
  await gone;
  assert.equal(server.sockets.size, 0);
});

test('renewed connections: questions are asked again, streams end with an error, writes get their answer', async () => {
  const held: (() => void)[] = [];
  const seen: string[] = [];
  const server = await wireServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    if (request.url === '/stream') response.write('{}\n');
    else if (seen.filter((line) => line === seen.at(-1)).length === 1) held.push(() => sendJson(response, 200, POD));
    else sendJson(response, 200, POD);
  });
  const client = await clientFor(server.url);
  const stream = await client.stream('/stream');
  const [read, written] = [client.get('/silent'), client.create('/p', POD)];
  const ended = text(stream);
  ended.catch(() => {}); // looked at below
  await until(() => held.length === 2, 'both have arrived');
  client.renewConnections();
  assert.deepEqual(await read, POD);
  await assert.rejects(ended, /renewed/);
  for (const answer of held) answer();
  assert.deepEqual(await written, POD);
  assert.deepEqual(seen.sort(), ['GET /silent', 'GET /silent', 'GET /stream', 'POST /p?fieldManager=kube-intercept']);
});
