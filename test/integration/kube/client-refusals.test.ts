import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { test } from 'vitest';
import { isAlreadyExists, isConflict, isForbidden, isNotFound } from '../../../cli/kube/client.ts';
import type { InterceptorError } from '../../../src/errors.ts';
import { makeCertificate } from '../../support/test-certificates.ts';
import { authority, clientFor, failure, POD, sendJson, statusObject, wireServer } from './api-fixture.ts';

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
