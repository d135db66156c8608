import { InterceptorError } from '../../src/errors.ts';

/**
 * Variables of the pod that are not given to the process: they describe the container's file system, user or runtime,
 * and would break a program that runs on the laptop. README lists them; `--env NAME=VALUE` sets one all the same.
 */
export const EXCLUDED_VARIABLES: readonly string[] = [
  'PATH',
  'HOME',
  'SHELL',
  'USER',
  'LOGNAME',
  'PWD',
  'OLDPWD',
  'SHLVL',
  '_',
  'TERM',
  'TMPDIR',
  'LANG',
  'NODE_VERSION',
  'YARN_VERSION',
  'NODE_OPTIONS',
  'NODE_PATH',
  'JAVA_HOME',
  'JAVA_TOOL_OPTIONS',
  'CLASSPATH',
  'PYTHONPATH',
  'PYTHONHOME',
  'GEM_HOME',
  'GEM_PATH',
  'BUNDLE_PATH',
  'GOPATH',
  'GOROOT',
  'KUBECONFIG',
];
export const EXCLUDED_PREFIXES: readonly string[] = ['LD_', 'DYLD_', 'LC_', 'XDG_', 'KUBE_INTERCEPT_'];

/** The pod's variables that the process gets. */
export function selectVariables(pod: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(pod).filter(
      ([name]) => !EXCLUDED_VARIABLES.includes(name) && !EXCLUDED_PREFIXES.some((prefix) => name.startsWith(prefix)),
    ),
  );
}

/** Say how to leave a network: the laptop's are wrong inside the cluster, and beside our own proxy so are the pod's. */
const PROXY_VARIABLES = /^(https?|ftp|all|no)_proxy$/i;
/** Options for a runtime, of which several givers are all to be heard. */
const ADDED_VARIABLES: readonly string[] = ['NODE_OPTIONS', 'JAVA_TOOL_OPTIONS'];

/** Where the variables of a command come from. */
export interface EnvironmentSources {
  /** Usually process.env. */
  readonly laptop: Readonly<Record<string, string | undefined>>;
  readonly pod: Readonly<Record<string, string>>;
  /** Inside.variables and INTERCEPT_ROOT. */
  readonly inside: Readonly<Record<string, string>>;
  readonly mode: 'namespace' | 'proxy' | 'none';
  /** `--env`. */
  readonly overrides: Readonly<Record<string, string>>;
}

/**
 * The environment of the command: the laptop's own, over it the pod's, over it what leads inside, over it `--env`.
 * NODE_OPTIONS and JAVA_TOOL_OPTIONS of the laptop, of ours and of `--env` are joined.
 */
export function commandEnvironment({
  laptop,
  pod,
  inside,
  mode,
  overrides,
}: EnvironmentSources): Record<string, string> {
  const own = Object.entries(laptop).flatMap(([name, value]): [string, string][] =>
    value === undefined || (mode !== 'none' && PROXY_VARIABLES.test(name)) ? [] : [[name, value]],
  );
  const ofPod = Object.entries(selectVariables(pod)).filter(
    ([name]) => mode !== 'proxy' || !PROXY_VARIABLES.test(name),
  );
  const all = { ...Object.fromEntries(own), ...Object.fromEntries(ofPod), ...inside, ...overrides };
  for (const name of ADDED_VARIABLES) {
    if (inside[name] === undefined) continue;
    all[name] = [laptop[name], inside[name], overrides[name]].filter((part) => part).join(' ');
  }
  return all;
}

/** Reads `--env KEY=VALUE`. @throws InterceptorError USAGE_BAD_OPTION */
export function parseEnvOption(text: string): [name: string, value: string] {
  const at = text.indexOf('=');
  const name = at < 0 ? text : text.slice(0, at);
  const shown = at === 0 ? text : name; // without the name there is nothing else to know it by
  if (at < 0 || !/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(name))
    throw new InterceptorError('USAGE_BAD_OPTION', `--env "${shown}" is not KEY=VALUE`, {
      hint: 'for example --env LOG_LEVEL=debug',
    });
  return [name, text.slice(at + 1)];
}
