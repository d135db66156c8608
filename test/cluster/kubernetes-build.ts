import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './exec.ts';
import { KUBERNETES_VERSION } from './layout.ts';
import { type Archive, unpackSource } from './packages.ts';
import { step } from './progress.ts';

export const KUBERNETES_PROGRAMS = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'kubectl',
] as const;

/**
 * Builds Kubernetes from Debian's source package, which holds the whole tree with its vendored modules.
 * @param goroot Debian's Go 1.19; the tree builds in GOPATH mode only ("updates to go.mod needed" otherwise)
 * @param work a scratch folder the caller removes
 * @param target where the programs go
 */
export async function buildKubernetes(archive: Archive, goroot: string, work: string, target: string): Promise<void> {
  const gopath = join(work, 'gopath');
  const tree = join(gopath, 'src/k8s.io/kubernetes');
  const logFile = join(work, 'build.log');
  await mkdir(join(gopath, 'src/k8s.io'), { recursive: true });
  await mkdir(target, { recursive: true });
  await step('fetch the source of Kubernetes', () => unpackSource(archive, 'kubernetes', tree));

  const [major = '', minor = ''] = KUBERNETES_VERSION.split('.');
  const version = {
    gitVersion: `v${KUBERNETES_VERSION}`,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: 'clean',
    gitCommit: 'faecb196815e248d3ecfb03c680a4507229c2a56',
    buildDate: '2021-01-13T00:00:00Z',
  };
  const env = {
    ...process.env,
    PATH: `${join(goroot, 'bin')}:${process.env.PATH ?? ''}`,
    GOROOT: goroot,
    GOPATH: gopath,
    GOCACHE: join(work, 'gocache'),
    GOFLAGS: '',
    GO111MODULE: 'off',
    CGO_ENABLED: '0',
    KUBE_GIT_VERSION: version.gitVersion,
    KUBE_GIT_MAJOR: major,
    KUBE_GIT_MINOR: minor,
    KUBE_GIT_TREE_STATE: version.gitTreeState,
    KUBE_GIT_COMMIT: version.gitCommit,
  };
  // Without its generated files kube-apiserver lacks openapi.GetOpenAPIDefinitions.
  await step('generate the code of Kubernetes', () => run(['make', 'generated_files'], { cwd: tree, env, logFile }));

  const versionFlags = Object.entries(version).flatMap(([name, value]) => [
    `-X k8s.io/kubernetes/vendor/k8s.io/component-base/version.${name}=${value}`,
    `-X k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version.${name}=${value}`,
  ]);
  const flags = ['-s', '-w', ...versionFlags].join(' ');
  for (const program of KUBERNETES_PROGRAMS) {
    const build = ['go', 'build', '-o', join(target, program), '-ldflags', flags, `./cmd/${program}`];
    await step(`build ${program}`, () => run(build, { cwd: tree, env, logFile }));
  }
}
