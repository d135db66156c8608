import { waitFor } from '../cluster/exec.ts';
import type { TestNamespace } from './cluster.ts';
import { withRestrictedPods } from './restricted-pods.ts';
import { makeCertificate } from './test-certificates.ts';

/** An admission webhook in the namespace that refuses objects with our agent. */
export interface Denier extends AsyncDisposable {
  /** From now on refuses these, and no others. */
  deny(resource: 'pods' | 'deployments'): Promise<void>;
}

const CODE = `
const fs = require('node:fs'), file = '/tmp/tls.json';
const waiting = setInterval(() => {
  if (!fs.existsSync(file)) return;
  clearInterval(waiting);
  start(JSON.parse(fs.readFileSync(file, 'utf8')));
}, 100);
const start = (tls) => require('node:https').createServer(tls, (request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
    if (request.method !== 'POST') return response.end('ok');
    const { apiVersion, kind, request: { uid, object } } = JSON.parse(Buffer.concat(chunks));
    const spec = object.spec.template?.spec ?? object.spec;
    const allowed = !spec.containers.some(({ name }) => name === 'kube-intercept-agent');
    const verdict = { uid, allowed, ...(allowed ? {} : { status: { message: 'no sidecars on Fridays' } }) };
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ apiVersion, kind, response: verdict }));
  });
}).listen(8443);
`;

/** Starts it as a pod; it refuses nothing yet. */
export async function startDenier(namespace: TestNamespace, image: string): Promise<Denier> {
  // Called by its pod's address, which a control plane reaches that has no way to Services; so its certificate comes after it.
  const authority = makeCertificate(['denier-authority']);
  const container = {
    name: 'denier',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '-e', CODE],
    readinessProbe: { httpGet: { path: '/', port: 8443, scheme: 'HTTPS' }, periodSeconds: 1 },
  };
  const spec = { terminationGracePeriodSeconds: 0, containers: [container] };
  await namespace.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'denier' }, spec });
  const read = async (): Promise<{ phase: string; podIP?: string }> =>
    (await namespace.get<{ status: { phase: string; podIP?: string } }>('pod/denier')).status;
  const address = await waitFor(
    async () => (({ phase, podIP }) => (phase === 'Running' ? podIP : undefined))(await read()),
    {
      timeoutMs: 60_000,
      onTimeout: () => new Error('the webhook does not run'),
    },
  );
  await namespace.kubectl(['exec', '-i', 'denier', '--', 'sh', '-c', 'cat > /tmp/new && mv /tmp/new /tmp/tls.json'], {
    input: JSON.stringify(makeCertificate([address], authority)),
  });
  await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/denier', '--timeout=60s'], { timeoutMs: 65_000 });
  await namespace.kubectl(['label', 'namespace', namespace.name, `denied-in=${namespace.name}`]);
  const name = `${namespace.name}-denier`;
  const deny = async (resource: 'pods' | 'deployments'): Promise<void> => {
    const rule = {
      apiGroups: [resource === 'pods' ? '' : 'apps'],
      apiVersions: ['v1'],
      operations: ['CREATE', 'UPDATE'],
      resources: [resource],
    };
    await namespace.apply({
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name },
      webhooks: [
        {
          name: 'denier.kube-intercept.test',
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          failurePolicy: 'Fail',
          timeoutSeconds: 5,
          // Cluster-wide as it is, it must see this namespace alone.
          namespaceSelector: { matchLabels: { 'denied-in': namespace.name } },
          rules: [rule],
          clientConfig: {
            caBundle: Buffer.from(authority.cert).toString('base64'),
            url: `https://${address}:8443/`,
          },
        },
      ],
    });
    let answer = '';
    await waitFor(
      async () => {
        answer = await tryToCreate(namespace, image, resource);
        return answer.includes('no sidecars on Fridays') ? true : undefined;
      },
      { timeoutMs: 30_000, onTimeout: () => new Error(`the webhook does not refuse ${resource}: ${answer}`) },
    );
  };
  return {
    deny,
    [Symbol.asyncDispose]: async () => {
      await namespace.kubectl(['delete', 'validatingwebhookconfiguration', name, '--ignore-not-found']);
    },
  };
}

/** The API server takes a while to see a new configuration: asked by a dry run. @returns what it says */
async function tryToCreate(namespace: TestNamespace, image: string, resource: 'pods' | 'deployments'): Promise<string> {
  const spec = { containers: [{ name: 'kube-intercept-agent', image }] };
  const metadata = { name: 'try', labels: { app: 'try' } };
  const template = { metadata, spec };
  const object =
    resource === 'pods'
      ? { apiVersion: 'v1', kind: 'Pod', ...template }
      : {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata,
          spec: { selector: { matchLabels: metadata.labels }, template },
        };
  try {
    return await namespace.kubectl(['create', '--dry-run=server', '-f', '-'], {
      input: JSON.stringify(withRestrictedPods(object)),
    });
  } catch (refusal) {
    return String(refusal);
  }
}
