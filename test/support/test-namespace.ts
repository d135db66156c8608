import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tryRun, waitFor } from '../cluster/exec.ts';
import type { TestCluster } from './cluster.ts';
import { ROLE_FILE, readDeveloperRole } from './developer-role.ts';
import { refusedRequests } from './refused-requests.ts';
import { withRestrictedPods } from './restricted-pods.ts';

const DEVELOPER = 'developer';
const TOKEN_SECONDS = 6 * 3600;
/**
 * How long to wait where a pod object has to be gone (who may, looks at livePods() instead): the tests' kubelet, 1.20, may miss the
 * removal of a pod's sandbox, and then leaves the object until its garbage collection of each minute. A StatefulSet and a DaemonSet
 * make no pod before.
 */
export const POD_GONE_MS = 120_000;
/** For a test with a StatefulSet of two: one after the other its pods get the agent, and lose it again. */
export const TWO_PODS_MS = 4 * POD_GONE_MS;
/** Of PodSecurity (Kubernetes 1.22); on the tests' own cluster a webhook goes by it: test/cluster/pod-security-up.ts. */
const POD_SECURITY_LABEL = 'pod-security.kubernetes.io/enforce';

export interface NamespaceOptions {
  /** Which pods the namespace admits: by default those of the level `restricted`, which apply() sees to. */
  readonly podSecurity?: 'restricted' | 'privileged';
}

export interface ExecResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A pod that calls the workloads under test from inside the cluster. */
export interface Caller {
  readonly pod: string;
  /** Runs a command in the pod; code 137 or null after `timeoutMs`, 60 s by default. */
  exec(command: readonly string[], options?: { timeoutMs?: number; input?: string }): Promise<ExecResult>;
}

/** What every pod has. */
interface AnyPod {
  readonly metadata: { readonly name: string };
}

/** A namespace that one test has for itself, and a developer with the Role of deploy/rbac.yaml there and nothing else. */
export interface TestNamespace {
  readonly name: string;
  /** A kubeconfig of that developer which reaches the API server directly; a laptop has its own: laptop.kubeconfig(). */
  readonly developerKubeconfig: string;
  /** The text of a kubeconfig of that developer for another address of the API server. */
  kubeconfigFor(server: string): string;
  /** kubectl as administrator, in this namespace. */
  kubectl(args: readonly string[], options?: { input?: string; timeoutMs?: number }): Promise<string>;
  /** Applies objects as administrator; what their pods do not say of security is added: withRestrictedPods(). */
  apply(manifest: unknown): Promise<void>;
  /** JSON of an object or list, such as `deployment/web` or `pods`. */
  get<T = unknown>(resource: string): Promise<T>;
  /**
   * The pods whose names begin with `prefix` and whose end nobody has asked for. The others say little: an old kubelet may leave
   * the object of a pod for a minute after its containers are gone (POD_GONE_MS).
   */
  livePods<Pod = AnyPod>(prefix?: string): Promise<Pod[]>;
  /** Waits until a workload is rolled out: `deployment/web`; one that kubectl does not follow, until its pods are ready. */
  rolledOut(workload: string, timeoutMs?: number): Promise<void>;
  /** Waits until a ResourceQuota is counted: before, pods are admitted as if it were not there. */
  quotaInForce(name: string): Promise<void>;
  /** The pod to call from; the same one each time. */
  caller(): Promise<Caller>;
  /**
   * Removes it without waiting for the last pod to end. May be called twice.
   * @throws when the developer asked for something in it that the Role does not allow
   */
  dispose(): Promise<void>;
}

/** Makes a namespace whose default service account is there, with the developer's account, role binding and kubeconfig. */
export async function createTestNamespace(
  cluster: TestCluster,
  prefix: string,
  { podSecurity = 'restricted' }: NamespaceOptions = {},
): Promise<TestNamespace> {
  const name = `${prefix}-${randomBytes(3).toString('hex')}`;
  const metadata = { name, labels: { [POD_SECURITY_LABEL]: podSecurity } };
  await cluster.kubectl(['create', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata }),
  });
  const role = await readDeveloperRole();
  await cluster.apply(name, [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: DEVELOPER } },
    role,
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: DEVELOPER },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: role.kind, name: role.metadata.name },
      subjects: [{ kind: 'ServiceAccount', name: DEVELOPER, namespace: name }],
    },
  ]);
  const token = await requestToken(cluster, name);
  await waitForDefaultAccount(cluster, name);
  const folder = await mkdtemp(join(tmpdir(), 'intercept-test-'));
  const namespace = new ClusterNamespace(cluster, name, token, folder, podSecurity);
  const { host, port } = cluster.apiServer;
  const direct = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  await writeFile(namespace.developerKubeconfig, namespace.kubeconfigFor(direct), { mode: 0o600 });
  return namespace;
}

/** A TokenRequest, which every cluster since 1.12 answers; `kubectl create token` came with 1.24. */
async function requestToken(cluster: TestCluster, namespace: string): Promise<string> {
  const spec = { expirationSeconds: TOKEN_SECONDS };
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${DEVELOPER}/token`;
  const answer = await cluster.kubectl(['create', '--raw', path, '-f', '-'], { input: JSON.stringify(request) });
  return JSON.parse(answer).status.token;
}

/** Until the controller manager has made it, pods are refused. */
async function waitForDefaultAccount(cluster: TestCluster, namespace: string): Promise<void> {
  const find = ['get', 'serviceaccount', 'default', '--namespace', namespace, '-o', 'name', '--ignore-not-found'];
  await waitFor(async () => ((await cluster.kubectl(find)) === '' ? undefined : true), {
    timeoutMs: 30_000,
    onTimeout: () => new Error(`namespace ${namespace} got no default service account in 30 s`),
  });
}

/** What of a workload tells whether its pods are ready. */
interface CountedWorkload {
  readonly kind: string;
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly replicas?: number; readonly updateStrategy?: { readonly type?: string } };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly readyReplicas?: number;
    readonly numberReady?: number;
    readonly desiredNumberScheduled?: number;
  };
}

class ClusterNamespace implements TestNamespace {
  readonly name: string;
  readonly developerKubeconfig: string;
  readonly #cluster: TestCluster;
  readonly #token: string;
  readonly #folder: string;
  readonly #podSecurity: 'restricted' | 'privileged';
  #caller: Promise<Caller> | undefined;

  constructor(
    cluster: TestCluster,
    name: string,
    token: string,
    folder: string,
    podSecurity: 'restricted' | 'privileged',
  ) {
    this.#podSecurity = podSecurity;
    this.#cluster = cluster;
    this.name = name;
    this.#token = token;
    this.#folder = folder;
    this.developerKubeconfig = join(folder, 'developer.kubeconfig');
  }

  kubeconfigFor(server: string): string {
    const context = { cluster: 'test', user: DEVELOPER, namespace: this.name };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster: { ...this.#cluster.trust, server } }],
      users: [{ name: DEVELOPER, user: { token: this.#token } }],
      contexts: [{ name: 'test', context }],
      'current-context': 'test',
    };
    return JSON.stringify(config, null, 2);
  }

  kubectl(args: readonly string[], options?: { input?: string; timeoutMs?: number }): Promise<string> {
    return this.#cluster.kubectl(['--namespace', this.name, ...args], options);
  }

  apply(manifest: unknown): Promise<void> {
    const admitted = this.#podSecurity === 'restricted' ? withRestrictedPods(manifest) : manifest;
    return this.#cluster.apply(this.name, admitted);
  }

  async get<T = unknown>(resource: string): Promise<T> {
    return JSON.parse(await this.kubectl(['get', resource, '-o', 'json']));
  }

  async livePods<Pod = AnyPod>(prefix = ''): Promise<Pod[]> {
    type Found = Pod & { readonly metadata: { readonly name: string; readonly deletionTimestamp?: string } };
    const { items } = await this.get<{ items: Found[] }>('pods');
    return items.filter(({ metadata }) => metadata.name.startsWith(prefix) && metadata.deletionTimestamp === undefined);
  }

  async rolledOut(workload: string, timeoutMs = POD_GONE_MS): Promise<void> {
    const { kind, spec } = await this.get<CountedWorkload>(workload);
    if (kind === 'ReplicaSet' || spec.updateStrategy?.type === 'OnDelete')
      return await this.#allReady(workload, timeoutMs);
    await this.kubectl(['rollout', 'status', workload, `--timeout=${timeoutMs}ms`], { timeoutMs: timeoutMs + 5000 });
  }

  async #allReady(workload: string, timeoutMs: number): Promise<void> {
    const isReady = async (): Promise<true | undefined> => {
      const { metadata, spec, status = {} } = await this.get<CountedWorkload>(workload);
      const wanted = spec.replicas ?? status.desiredNumberScheduled ?? -1;
      const ready = status.numberReady ?? status.readyReplicas ?? 0;
      return ready === wanted && status.observedGeneration === metadata.generation ? true : undefined;
    };
    await waitFor(isReady, { timeoutMs, onTimeout: () => new Error(`${workload} is not ready in ${timeoutMs} ms`) });
  }

  async quotaInForce(name: string): Promise<void> {
    const isCounted = async (): Promise<true | undefined> =>
      (await this.get<{ status?: { used?: unknown } }>(`resourcequota/${name}`)).status?.used === undefined
        ? undefined
        : true;
    await waitFor(isCounted, { timeoutMs: 60_000, onTimeout: () => new Error(`nobody counts for the quota ${name}`) });
  }

  caller(): Promise<Caller> {
    this.#caller ??= this.#startCaller();
    return this.#caller;
  }

  async #startCaller(): Promise<Caller> {
    const pod = 'caller';
    const container = {
      name: pod,
      image: this.#cluster.toolsImage ?? this.#cluster.nodeImage,
      imagePullPolicy: 'IfNotPresent',
      command: ['sleep', '1000000'],
    };
    const spec = { terminationGracePeriodSeconds: 0, containers: [container] };
    await this.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name: pod }, spec });
    await this.kubectl(['wait', '--for=condition=Ready', `pod/${pod}`, '--timeout=60s'], { timeoutMs: 65_000 });
    const { kubectlProgram, kubectlAccess } = this.#cluster;
    const prefix = [kubectlProgram, ...kubectlAccess, '--namespace', this.name, 'exec', '-i', pod, '--'];
    return { pod, exec: (command, options = {}) => tryRun([...prefix, ...command], { timeoutMs: 60_000, ...options }) };
  }

  async dispose(): Promise<void> {
    const now = ['--wait=false', '--ignore-not-found'];
    await this.#cluster.kubectl(['delete', 'namespace', this.name, ...now]);
    // An app that ignores SIGTERM would keep a terminating namespace, and the machine, busy for half a minute.
    await this.kubectl(['delete', 'pods', '--all', '--force', '--grace-period=0', ...now]);
    await rm(this.#folder, { recursive: true, force: true });
    const refused = this.#cluster.own ? await refusedRequests(this.name, this.#user) : [];
    if (refused.length > 0) throw new Error(`${ROLE_FILE} lacks a rule for:\n${refused.join('\n')}`);
  }

  get #user(): string {
    return `system:serviceaccount:${this.name}:${DEVELOPER}`;
  }
}
