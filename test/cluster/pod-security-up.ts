import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDaemonRunning, startDaemon } from './daemons.ts';
import { run, waitFor } from './exec.ts';
import { kubectl } from './kubectl.ts';
import { type Layout, POD_SECURITY_PORT } from './layout.ts';
import { findNodeNamespace, type NodeNamespace } from './node-namespace.ts';

/** Of a namespace; the same label as Kubernetes's own admission from 1.22 on. */
const LABEL = 'pod-security.kubernetes.io';

/** Starts the webhook that stands for PodSecurity, and tells the API server of it; nothing where it runs. */
export async function bringPodSecurityUp(layout: Layout): Promise<void> {
  if (await isDaemonRunning(layout, 'pod-security')) return;
  const node = await findNodeNamespace(layout);
  if (node === undefined) throw new Error('the node is gone');
  const pki = join(layout.stateDir, 'pki');
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'pod-security.key'];
  const certificate = ['-subj', '/CN=pod-security', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '3650'];
  await run(['openssl', 'req', '-x509', ...key, ...certificate, '-out', 'pod-security.crt'], { cwd: pki });
  await startDaemon(layout, node, 'pod-security');
  const caBundle = (await readFile(join(pki, 'pod-security.crt'))).toString('base64');
  const webhook = (mode: 'enforce' | 'audit'): unknown => ({
    name: `${mode}.pod-security.kube-intercept.test`,
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy: 'Fail',
    timeoutSeconds: 30,
    namespaceSelector: { matchLabels: { [`${LABEL}/${mode}`]: 'restricted' } },
    rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['pods'] }],
    clientConfig: { caBundle, url: `https://127.0.0.1:${POD_SECURITY_PORT}/${mode}` },
  });
  const configuration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'pod-security' },
    webhooks: [webhook('enforce'), webhook('audit')],
  };
  await waitForServer(node);
  await kubectl(layout, ['apply', '-f', '-'], { input: JSON.stringify(configuration) });
}

async function waitForServer(node: NodeNamespace): Promise<void> {
  const port = POD_SECURITY_PORT.toString(16).toUpperCase();
  await waitFor(
    async () =>
      (await readFile(`/proc/${node.initPid}/net/tcp`, 'utf8')).includes(`0100007F:${port} `) ? true : undefined,
    { timeoutMs: 60_000, onTimeout: () => new Error('the PodSecurity webhook does not listen') },
  );
}
