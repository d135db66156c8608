import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { serviceAccountAccess } from '../../../cli/kube/service-account.ts';
import { InterceptorError } from '../../../src/errors.ts';

const IN_POD = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };

describe('the access of a pod', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'service-account-'));
    await writeFile(join(folder, 'ca.crt'), 'the CA');
    await writeFile(join(folder, 'namespace'), 'shop\n');
    await writeFile(join(folder, 'token'), 'first\n');
  });
  afterAll(async () => rm(folder, { recursive: true }));

  test('is its service account’s, and its token is read again once the server has refused it', async () => {
    const access = await serviceAccountAccess(IN_POD, folder);
    assert.deepEqual([access.server, access.namespace, access.tls.ca], ['https://[fd00::1]:6443', 'shop', 'the CA']);
    const credentials = await access.credentials();
    assert.equal(credentials.authorization, 'Bearer first');
    await writeFile(join(folder, 'token'), 'second\n');
    assert.equal(await access.authorization(), 'Bearer first');
    assert.equal(access.forgetCredentials(credentials), true);
    assert.equal(await access.authorization(), 'Bearer second');
  });

  test('is refused outside of a pod, and in one without a token', async () => {
    const isInvalid = (error: unknown): boolean =>
      error instanceof InterceptorError && error.code === 'KUBECONFIG_INVALID';
    await assert.rejects(serviceAccountAccess({}, folder), isInvalid);
    await assert.rejects(serviceAccountAccess(IN_POD, join(folder, 'none')), isInvalid);
  });
});
