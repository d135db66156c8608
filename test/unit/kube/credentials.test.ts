import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'vitest';
import { credentialsSecret, parseCredentials } from '../../../cli/kube/agent-objects.ts';
import { CERTIFICATE_YEARS, makeCredentials } from '../../../cli/kube/credentials.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

test('new credentials are a random key and a certificate of its own key for the workload, valid for years', async () => {
  const [one, two] = await Promise.all([makeCredentials('web'), makeCredentials('x'.repeat(200))]);
  assert.equal(Buffer.from(one.key, 'base64url').length, 32);
  assert.notEqual(one.key, two.key);
  const certificate = new X509Certificate(one.tlsCert);
  assert.ok(certificate.checkPrivateKey(createPrivateKey(one.tlsKey)));
  assert.ok(certificate.verify(certificate.publicKey));
  assert.equal(certificate.subjectAltName, 'DNS:web');
  assert.ok(Date.parse(certificate.validFrom) < Date.now());
  const years = (Date.parse(certificate.validTo) - Date.now()) / (365.25 * 24 * 3600 * 1000);
  assert.ok(Math.abs(years - CERTIFICATE_YEARS) < 0.1, `${years}`);
  assert.equal(new X509Certificate(two.tlsCert).checkHost('x'.repeat(200)) !== null, true);
});

test('credentials come back from their Secret, which belongs to the workload', async () => {
  const workload = rawWorkload('Deployment', [rawContainer()]);
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 'http' }]);
  const { record } = planInstall(workload, installRequest(workload, service), '2026-01-01T00:00:00Z');
  const credentials = await makeCredentials('web');
  const secret = credentialsSecret(workload, record, credentials);
  assert.deepEqual(parseCredentials(secret), credentials);
  assert.equal(secret.metadata.ownerReferences?.[0]?.uid, 'uid-web');
  assert.equal(secret.metadata.labels?.['app.kubernetes.io/managed-by'], 'kube-intercept');
  assert.throws(() => parseCredentials({ metadata: { name: 's' }, data: {} }), { code: 'INTERNAL' });
});
