import { access } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { tryRun } from '../cluster/exec.ts';
import { NODE_IMAGE, TOOLS_IMAGE } from '../cluster/images.ts';
import { readLayout } from '../cluster/layout.ts';
import { bringOwnClusterUp } from './own-cluster.ts';
import { createTestNamespace, type NamespaceOptions, type TestNamespace } from './test-namespace.ts';

export type { Caller, ExecResult, TestNamespace } from './test-namespace.ts';

export interface KubectlOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** A Kubernetes cluster for tests, with administrator's rights. */
export interface TestCluster {
  readonly kubeconfig: string;
  /** Whether it is the one of test/cluster, rather than one the person gave. */
  readonly own: boolean;
  readonly nodeImage: string;
  readonly toolsImage: string | undefined;
  /** Where the API server listens, for a relay. */
  readonly apiServer: { readonly host: string; readonly port: number };
  /** What a client needs to trust the API server under another address; JSON of a kubeconfig's `cluster`, without `server`. */
  readonly trust: Readonly<Record<string, unknown>>;
  /** The kubectl program that kubectl() runs. */
  readonly kubectlProgram: string;
  /** Its first arguments: whose rights it uses. */
  readonly kubectlAccess: readonly string[];
  /** Runs kubectl as administrator; rejects with what it printed on stderr. */
  kubectl(args: readonly string[], options?: KubectlOptions): Promise<string>;
  /** Applies objects, given as values or as YAML text. */
  apply(namespace: string, manifest: unknown): Promise<void>;
  /** Makes a namespace of its own for a test, named `<prefix>-<random>`. */
  createNamespace(prefix: string, options?: NamespaceOptions): Promise<TestNamespace>;
}

export interface NotRun {
  /** The reason and the remedy. */
  readonly notRun: string;
}

let cluster: Promise<TestCluster | NotRun> | undefined;

/** The cluster of INTERCEPT_TEST_KUBECONFIG, else our own, which is brought up if it is not. */
export function useCluster(): Promise<TestCluster | NotRun> {
  cluster ??= findCluster();
  return cluster;
}

async function findCluster(): Promise<TestCluster | NotRun> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    return {
      notRun: 'the laptop of these tests is a network namespace, which needs root on Linux: run them there, with sudo',
    };
  }
  const given = process.env.INTERCEPT_TEST_KUBECONFIG;
  if (given) return useGivenCluster(given);
  const own = await bringOwnClusterUp();
  if ('notRun' in own) return own;
  const program = join(readLayout().programsDir, 'bin/kubectl');
  return openCluster({
    kubeconfig: own.kubeconfig,
    own: true,
    program,
    nodeImage: NODE_IMAGE,
    toolsImage: TOOLS_IMAGE,
  });
}

async function useGivenCluster(kubeconfig: string): Promise<TestCluster | NotRun> {
  const program = await findKubectl();
  if (program === undefined) return { notRun: 'INTERCEPT_TEST_KUBECONFIG is set but there is no kubectl: install one' };
  const version = await tryRun([program, '--kubeconfig', kubeconfig, 'get', '--raw', '/version'], {
    timeoutMs: 15_000,
  });
  if (version.code !== 0) {
    return { notRun: `the cluster of INTERCEPT_TEST_KUBECONFIG does not answer (${version.stderr.trim()}): start it` };
  }
  const nodeImage = process.env.INTERCEPT_TEST_NODE_IMAGE || NODE_IMAGE;
  const toolsImage = process.env.INTERCEPT_TEST_TOOLS_IMAGE || undefined;
  return openCluster({ kubeconfig, own: false, program, nodeImage, toolsImage });
}

async function findKubectl(): Promise<string | undefined> {
  const found = await tryRun(['sh', '-c', 'command -v kubectl']);
  if (found.code === 0) return found.stdout.trim();
  const cached = join(readLayout().programsDir, 'bin/kubectl');
  return access(cached).then(
    () => cached,
    () => undefined, // ENOENT: nothing was built here yet
  );
}

interface ClusterPlan {
  readonly kubeconfig: string;
  readonly own: boolean;
  readonly program: string;
  readonly nodeImage: string;
  readonly toolsImage: string | undefined;
}

async function openCluster(plan: ClusterPlan): Promise<TestCluster> {
  const { kubeconfig, own, nodeImage, toolsImage, program } = plan;
  const cacheDir = own ? ['--cache-dir', join(dirname(kubeconfig), 'kubectl-cache')] : [];
  const kubectlAccess = ['--kubeconfig', kubeconfig, ...cacheDir];
  const kubectl = async (args: readonly string[], options: KubectlOptions = {}) => {
    const result = await tryRun([program, ...kubectlAccess, ...args], { timeoutMs: 60_000, ...options });
    if (result.code === 0) return result.stdout;
    throw new Error(`kubectl ${args.join(' ')}: ${result.stderr.trim() || `ended by ${result.signal}`}`);
  };
  const config = JSON.parse(await kubectl(['config', 'view', '--minify', '--raw', '--flatten', '-o', 'json']));
  const { server, ...trust }: { server: string } & Record<string, unknown> = config.clusters[0].cluster;
  const url = new URL(server);
  const apiServer = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) || 443 };
  // Our own certificate is valid for the laptops' relays. For another's, say which name to expect: its own, or for a bare
  // address the one in every API server's certificate (Node warns about an address as a server name, DEP0123).
  if (!own && trust['insecure-skip-tls-verify'] !== true) {
    trust['tls-server-name'] ??= isIP(apiServer.host) === 0 ? apiServer.host : 'kubernetes';
  }
  const opened: TestCluster = {
    kubeconfig,
    own,
    nodeImage,
    toolsImage,
    apiServer,
    trust,
    kubectlProgram: program,
    kubectlAccess,
    kubectl,
    apply: async (namespace, manifest) => {
      const input = typeof manifest === 'string' ? manifest : JSON.stringify(asList(manifest));
      await kubectl(['apply', '--namespace', namespace, '-f', '-'], { input });
    },
    createNamespace: (prefix, options) => createTestNamespace(opened, prefix, options),
  };
  return opened;
}

function asList(manifest: unknown): unknown {
  return Array.isArray(manifest) ? { apiVersion: 'v1', kind: 'List', items: manifest } : manifest;
}
