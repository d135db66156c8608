import assert from 'node:assert/strict';
import { test } from 'vitest';
import { namespaceGoes } from '../../../cli/kube/namespace-end.ts';
import { clientFor, sendJson, statusObject, wireServer } from './api-fixture.ts';

const NAMESPACE = '/api/v1/namespaces/shop';
const KNOWN = '/apis/apps/v1/namespaces/shop/deployments/web';
const forbidden = [403, statusObject(403, 'Forbidden', 'User "ann" cannot get resource "x"')] as const;
const missing = [404, statusObject(404, 'NotFound', 'gone')] as const;
const expired = [401, statusObject(401, 'Unauthorized', 'Unauthorized')] as const;
const broken = [500, statusObject(500, 'InternalError', 'etcd')] as const;
const namespace = (metadata: object) => [200, { kind: 'Namespace', apiVersion: 'v1', metadata }] as const;
const going = namespace({ name: 'shop', deletionTimestamp: '2026-01-01T00:00:00Z' });

for (const [name, asked, known, goes] of [
  ['that is there stays', namespace({ name: 'shop' }), missing, 'no'],
  ['that is marked goes', going, missing, 'yes'],
  ['that is not there has gone', missing, missing, 'yes'],
  ['that may not be asked for stays, as long as what is in it may', forbidden, missing, 'no'],
  ['whose rights are all gone goes, perhaps', forbidden, forbidden, 'perhaps'],
  ['whose service account is gone goes, perhaps', expired, expired, 'perhaps'],
  ['of which nobody knows is not said to go', broken, missing, 'no'],
] as const)
  test(`a namespace ${name}`, async () => {
    const server = await wireServer((request, response) => {
      const [status, value] = request.url?.split('?')[0] === NAMESPACE ? asked : known;
      sendJson(response, status, value);
    });
    const client = await clientFor(server.url);
    assert.equal(await namespaceGoes(client, 'shop', KNOWN, new AbortController().signal), goes);
  });
