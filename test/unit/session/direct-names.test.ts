import assert from 'node:assert/strict';
import { test } from 'vitest';
import { serviceOfName } from '../../../cli/session/direct/names.ts';
import { clusterIdentity } from '../../../cli/session/direct/record.ts';

const scope = { namespace: 'shop', search: ['shop.svc.corp.example', 'svc.corp.example', 'corp.example', 'lan'] };

test.each([
  ['api', 'api', 'shop'],
  ['API', 'api', 'shop'],
  ['api.other', 'api', 'other'],
  ['api.other.svc', 'api', 'other'],
  ['api.other.svc.corp.example', 'api', 'other'],
  ['api.other.svc.corp.example.', 'api', 'other'],
])('%s is a Service', (name, service, namespace) => {
  assert.deepEqual(serviceOfName(name, scope), { name: service, namespace });
});

test.each([
  '',
  '.',
  'api.',
  'api.other.svc.cluster.local',
  'pod.api.other.svc',
  'api.other.pod.corp.example',
  'a.b.c.d',
])('%j is none', (name) => {
  assert.equal(serviceOfName(name, scope), undefined);
});

test('a cluster is told by its server, its CA and the way there', () => {
  const tls = { ca: 'ca', cert: 'a', key: undefined, servername: undefined, rejectUnauthorized: true };
  const one = clusterIdentity({ server: 'https://one', tls, proxyUrl: undefined });
  assert.equal(clusterIdentity({ server: 'https://one', tls: { ...tls, cert: 'b' }, proxyUrl: undefined }), one);
  const others = [
    clusterIdentity({ server: 'https://two', tls, proxyUrl: undefined }),
    clusterIdentity({ server: 'https://one', tls: { ...tls, ca: 'other' }, proxyUrl: undefined }),
    clusterIdentity({ server: 'https://one', tls, proxyUrl: 'socks5://x' }),
  ];
  assert.equal(new Set([one, ...others]).size, 4);
});
