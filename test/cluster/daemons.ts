import { spawn } from 'node:child_process';
import { mkdir, open, readFile, readlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lastLines, waitFor } from './exec.ts';
import { PAUSE_IMAGE } from './images.ts';
import {
  API_PORT,
  CLUSTER_DOMAIN,
  ETCD_URL,
  INSIDE,
  type Layout,
  NODE_NAME,
  POD_SECURITY_PORT,
  SERVICE_CIDR,
} from './layout.ts';
import { insideCache } from './node-config.ts';
import type { NodeNamespace } from './node-namespace.ts';

export const DAEMONS = [
  'etcd',
  'containerd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'dns',
] as const;
/** The last one is started with the cluster, and the cluster works without it. */
export type Daemon = (typeof DAEMONS)[number] | 'pod-security';

/** Starts one daemon in the node's namespaces, apart from this process and its terminal, and records its pid. */
export async function startDaemon(layout: Layout, node: NodeNamespace, name: Daemon): Promise<void> {
  const { command, mounts } = describeDaemon(layout, name);
  const log = await open(logFile(layout, name), 'a');
  const namespaces = ['--net', '--pid', ...(mounts ? ['--mount'] : [])];
  const child = spawn('nsenter', ['--target', String(node.initPid), ...namespaces, '--', ...command], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', log.fd, log.fd],
    env: daemonEnvironment(layout),
  });
  await log.close();
  child.unref();
  await mkdir(join(layout.stateDir, 'pids'), { recursive: true });
  await writeFile(pidFile(layout, name), String(child.pid));
}

/** Whether the daemon's recorded process is running. */
export async function isDaemonRunning(layout: Layout, name: Daemon): Promise<boolean> {
  const pid = await readFile(pidFile(layout, name), 'utf8').catch(() => undefined); // ENOENT: never started
  if (pid === undefined) return false;
  // Not its command line: that is empty until execve(2) is through, which spawn() does not wait for.
  const program = await readlink(`/proc/${pid}/exe`).catch(() => ''); // ENOENT: ended
  return basename(program) === 'nsenter';
}

/**
 * Ends a daemon as an init system does: SIGTERM, and SIGKILL for one that has not ended by then (the API server waits a
 * minute for its watchers).
 */
export async function stopDaemon(layout: Layout, name: Daemon, patienceMs = 3_000): Promise<void> {
  const outer = (await readFile(pidFile(layout, name), 'utf8')).trim();
  const [inner] = (await readFile(`/proc/${outer}/task/${outer}/children`, 'utf8')).trim().split(' ').map(Number);
  if (!inner) throw new Error(`${name} does not run`);
  process.kill(inner, 'SIGTERM'); // nsenter(1), which waits for it, ends behind it
  const ended = async (): Promise<true | undefined> => ((await isDaemonRunning(layout, name)) ? undefined : true);
  const waiting = { intervalMs: 50, onTimeout: () => new Error(`${name} does not end`) };
  await waitFor(ended, { ...waiting, timeoutMs: patienceMs }).catch(async () => {
    process.kill(inner, 'SIGKILL');
    await waitFor(ended, { ...waiting, timeoutMs: 10_000 });
  });
}

/** The end of a daemon's log, for an error message. */
export async function daemonLog(layout: Layout, name: Daemon): Promise<string> {
  const text = await readFile(logFile(layout, name), 'utf8').catch(() => ''); // ENOENT: never started
  return `end of ${logFile(layout, name)}:\n${lastLines(text, 12)}`;
}

function logFile(layout: Layout, name: Daemon): string {
  return join(layout.stateDir, 'logs', `${name}.log`);
}

/** Where the API server writes what service accounts asked of it. */
export function auditLog(layout: Layout): string {
  return join(layout.stateDir, 'logs', 'audit.log');
}

function pidFile(layout: Layout, name: Daemon): string {
  return join(layout.stateDir, 'pids', name);
}

/** Proxy variables of the machine would send cluster traffic elsewhere; runc and the plugins are found in the cache. */
function daemonEnvironment(layout: Layout): NodeJS.ProcessEnv {
  const path = [insideCache(layout, join(layout.programsDir, 'bin')), '/usr/local/sbin', '/usr/local/bin'];
  return { PATH: [...path, '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(':'), HOME: '/root', GODEBUG: 'x509sha1=0' };
}

/** `mounts`: the program works with the pods' mounts, so it enters the node's mount namespace and sees the paths in INSIDE. */
function describeDaemon(layout: Layout, name: Daemon): { command: string[]; mounts: boolean } {
  const program = join(layout.programsDir, 'bin', name);
  const pki = join(layout.stateDir, 'pki');
  switch (name) {
    case 'etcd':
      return { mounts: false, command: [program, ...etcdFlags(layout)] };
    case 'containerd':
      return { mounts: true, command: [insideCache(layout, program), '--config', `${INSIDE.state}/containerd.toml`] };
    case 'kube-apiserver':
      return { mounts: false, command: [program, ...apiServerFlags(layout, pki)] };
    case 'kube-controller-manager':
      return { mounts: false, command: [program, ...controllerManagerFlags(pki)] };
    case 'kube-scheduler':
      return { mounts: false, command: [program, ...controlPlaneFlags(pki, 'scheduler', 10259)] };
    case 'kubelet':
      return { mounts: true, command: [insideCache(layout, program), ...kubeletFlags(layout)] };
    case 'kube-proxy':
      return {
        mounts: true,
        command: [
          insideCache(layout, program),
          `--config=${INSIDE.state}/kube-proxy.json`,
          `--hostname-override=${NODE_NAME}`,
        ],
      };
    case 'dns':
      return { mounts: false, command: dnsCommand(layout, pki) };
    case 'pod-security':
      return {
        mounts: false,
        command: ourScript(
          './pod-security-server.ts',
          `${pki}/pod-security.crt`,
          `${pki}/pod-security.key`,
          String(POD_SECURITY_PORT),
        ),
      };
    default:
      return name satisfies never;
  }
}

function etcdFlags(layout: Layout): string[] {
  const peer = 'http://127.0.0.1:2380';
  return [
    `--data-dir=${layout.stateDir}/etcd`,
    `--listen-client-urls=${ETCD_URL}`,
    `--advertise-client-urls=${ETCD_URL}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

function apiServerFlags(layout: Layout, pki: string): string[] {
  return [
    `--etcd-servers=${ETCD_URL}`,
    `--bind-address=${layout.nodeAddress}`,
    `--advertise-address=${layout.nodeAddress}`,
    `--secure-port=${API_PORT}`,
    `--tls-cert-file=${pki}/apiserver.crt`,
    `--tls-private-key-file=${pki}/apiserver.key`,
    `--client-ca-file=${pki}/ca.crt`,
    `--kubelet-certificate-authority=${pki}/ca.crt`,
    `--kubelet-client-certificate=${pki}/apiserver-kubelet.crt`,
    `--kubelet-client-key=${pki}/apiserver-kubelet.key`,
    // Else exec, logs and port-forward fail: "lookup <node>: no such host".
    '--kubelet-preferred-address-types=InternalIP',
    `--service-cluster-ip-range=${SERVICE_CIDR}`,
    `--service-account-issuer=https://kubernetes.default.svc.${CLUSTER_DOMAIN}`,
    `--service-account-key-file=${pki}/service-account.key`,
    `--service-account-signing-key-file=${pki}/service-account.key`,
    '--authorization-mode=Node,RBAC',
    // What service accounts of tests asked for and were refused: test/support/refused-requests.ts.
    `--audit-policy-file=${here('./audit-policy.json')}`,
    `--audit-log-path=${auditLog(layout)}`,
    '--audit-log-maxsize=64',
    '--audit-log-maxbackup=1',
    '--allow-privileged=true',
  ];
}

function controllerManagerFlags(pki: string): string[] {
  return [
    ...controlPlaneFlags(pki, 'controller-manager', 10257),
    `--root-ca-file=${pki}/ca.crt`,
    `--service-account-private-key-file=${pki}/service-account.key`,
    '--use-service-account-credentials=true',
    `--cluster-signing-cert-file=${pki}/ca.crt`,
    `--cluster-signing-key-file=${pki}/ca.key`,
  ];
}

function controlPlaneFlags(pki: string, user: string, port: number): string[] {
  const kubeconfig = `${pki}/${user}.kubeconfig`;
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    '--port=0',
    '--leader-elect=false',
    '--kube-api-qps=100',
    '--kube-api-burst=200',
  ];
}

function kubeletFlags(layout: Layout): string[] {
  return [
    `--config=${INSIDE.state}/kubelet.json`,
    `--kubeconfig=${INSIDE.state}/pki/kubelet.kubeconfig`,
    '--container-runtime=remote',
    '--container-runtime-endpoint=unix:///run/containerd/containerd.sock',
    `--root-dir=${INSIDE.state}/kubelet`,
    `--cert-dir=${INSIDE.state}/kubelet-pki`,
    `--pod-infra-container-image=docker.io/library/${PAUSE_IMAGE}`,
    `--hostname-override=${NODE_NAME}`,
    `--node-ip=${layout.nodeAddress}`,
  ];
}

function dnsCommand(layout: Layout, pki: string): string[] {
  return ourScript('./dns-server.ts', `${pki}/dns.kubeconfig`, layout.nodeAddress);
}

function ourScript(file: string, ...args: readonly string[]): string[] {
  return [process.execPath, '--import', import.meta.resolve('tsx'), here(file), ...args];
}

/** A file beside this one. */
function here(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
