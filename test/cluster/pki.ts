import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './exec.ts';
import {
  CLUSTER_DOMAIN,
  KUBERNETES_SERVICE_IP,
  type Layout,
  laptopHostAddress,
  MAX_LAPTOPS,
  NODE_NAME,
} from './layout.ts';

interface CertificatePlan {
  readonly name: string;
  /** OpenSSL's form: /O=group/CN=user */
  readonly subject: string;
  readonly usage: 'serverAuth' | 'clientAuth';
  readonly addresses?: readonly string[];
}

/** Every user of kubeconfigs and every server, signed by one authority that lives as long as the cluster. */
function certificatePlans(layout: Layout): CertificatePlan[] {
  const service = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'].map((name) => `DNS:${name}`);
  const relays = Array.from({ length: MAX_LAPTOPS }, (_, index) => `IP:${laptopHostAddress(index)}`);
  const apiAddresses = [
    ...service,
    `DNS:kubernetes.default.svc.${CLUSTER_DOMAIN}`,
    'DNS:localhost',
    'IP:127.0.0.1',
    `IP:${KUBERNETES_SERVICE_IP}`,
    `IP:${layout.nodeAddress}`,
    ...relays,
  ];
  return [
    { name: 'apiserver', subject: '/CN=kube-apiserver', usage: 'serverAuth', addresses: apiAddresses },
    {
      name: 'kubelet-server',
      subject: `/CN=${NODE_NAME}`,
      usage: 'serverAuth',
      addresses: [`DNS:${NODE_NAME}`, `IP:${layout.nodeAddress}`],
    },
    { name: 'apiserver-kubelet', subject: '/O=system:masters/CN=kube-apiserver', usage: 'clientAuth' },
    { name: 'admin', subject: '/O=system:masters/CN=admin', usage: 'clientAuth' },
    { name: 'controller-manager', subject: '/CN=system:kube-controller-manager', usage: 'clientAuth' },
    { name: 'scheduler', subject: '/CN=system:kube-scheduler', usage: 'clientAuth' },
    { name: 'kube-proxy', subject: '/CN=system:kube-proxy', usage: 'clientAuth' },
    { name: 'kubelet', subject: `/O=system:nodes/CN=system:node:${NODE_NAME}`, usage: 'clientAuth' },
    { name: 'dns', subject: '/O=system:masters/CN=dns', usage: 'clientAuth' },
  ];
}

/** Makes the authority, every certificate, the service account key, and a kubeconfig for each client, in `pki/`. */
export async function writePki(layout: Layout): Promise<void> {
  const folder = join(layout.stateDir, 'pki');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const authority = ['-subj', '/CN=kube-intercept test cluster', '-keyout', 'ca.key', '-out', 'ca.crt'];
  await run(['openssl', 'req', '-x509', ...newKey, ...authority, '-days', '3650'], { cwd: folder });
  const serviceAccountKey = run(['openssl', 'genrsa', '-out', 'service-account.key', '2048'], { cwd: folder });
  await Promise.all(
    certificatePlans(layout).map(async (plan, index) => {
      const extensions = [`extendedKeyUsage=${plan.usage}`, 'keyUsage=digitalSignature'];
      if (plan.addresses) extensions.push(`subjectAltName=${plan.addresses.join(',')}`);
      await writeFile(join(folder, `${plan.name}.ext`), extensions.join('\n'));
      const request = ['-subj', plan.subject, '-keyout', `${plan.name}.key`, '-out', `${plan.name}.csr`];
      await run(['openssl', 'req', ...newKey, ...request], { cwd: folder });
      const sign = ['-in', `${plan.name}.csr`, '-out', `${plan.name}.crt`, '-extfile', `${plan.name}.ext`];
      const by = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-set_serial', String(index + 2), '-days', '3650'];
      await run(['openssl', 'x509', '-req', ...sign, ...by], { cwd: folder });
    }),
  );
  await serviceAccountKey;
  for (const { name, usage } of certificatePlans(layout)) {
    if (usage === 'clientAuth' && name !== 'apiserver-kubelet') await writeKubeconfig(layout, folder, name);
  }
  // Last, and renamed into place: whoever finds it finds a whole one.
  await rename(join(folder, 'admin.kubeconfig'), layout.kubeconfig);
}

async function writeKubeconfig(layout: Layout, folder: string, name: string): Promise<void> {
  const encode = async (file: string) => (await readFile(join(folder, file))).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'kube-intercept',
        cluster: { server: layout.apiUrl, 'certificate-authority-data': await encode('ca.crt') },
      },
    ],
    users: [
      {
        name,
        user: {
          'client-certificate-data': await encode(`${name}.crt`),
          'client-key-data': await encode(`${name}.key`),
        },
      },
    ],
    contexts: [{ name: 'kube-intercept', context: { cluster: 'kube-intercept', user: name } }],
    'current-context': 'kube-intercept',
  };
  await writeFile(join(folder, `${name}.kubeconfig`), JSON.stringify(config, null, 2), { mode: 0o600 });
}
