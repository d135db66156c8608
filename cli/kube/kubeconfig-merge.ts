import * as path from 'node:path';
import { load as parseYaml, YAMLException } from 'js-yaml';
import { errorText, InterceptorError } from '../../src/errors.ts';
import type { KubeConfig } from './k8s.ts';
import type { KubeconfigFile } from './kubeconfig-files.ts';

type Fields = Readonly<Record<string, unknown>>;

/** What KubeConfig does not keep of a user: it knows `token-file`, kubectl writes `tokenFile`, and group impersonation. */
export interface UserExtras {
  readonly tokenFile: string | undefined;
  /** Of the kubeconfig file: relative paths start there. */
  readonly folder: string;
  readonly fields: Fields;
}

export interface MergedConfig {
  readonly config: KubeConfig;
  readonly users: ReadonlyMap<string, UserExtras>;
  /** The raw cluster entries by name. */
  readonly clusters: ReadonlyMap<string, Fields>;
  /** Contexts KubeConfig would not take, with the reason. */
  readonly broken: ReadonlyMap<string, string>;
  /** Every file was empty. */
  readonly empty: boolean;
  /** For messages: the files. */
  readonly source: string;
}

/**
 * Merges files with kubectl's rules, where KubeConfig's own merge throws on duplicates and takes the last current-context: the
 * first entry of a name wins, and so does the first current-context.
 * @throws InterceptorError KUBECONFIG_INVALID naming the file
 */
export async function mergeFiles(files: readonly KubeconfigFile[]): Promise<MergedConfig> {
  const { KubeConfig } = await import('./k8s.ts');
  const config = new KubeConfig();
  const users = new Map<string, UserExtras>();
  const clusters = new Map<string, Fields>();
  const broken = new Map<string, string>();
  let empty = true;
  for (const { file, text } of files) {
    const fields = parse(file, text);
    if (fields === undefined) continue;
    empty = false;
    const one = new KubeConfig();
    // An entry somebody left half written must not lock out the others, as in kubectl.
    one.loadFromString(text, { onInvalidEntry: 'filter' });
    const folder = path.dirname(path.resolve(file));
    one.makePathsAbsolute(folder);
    for (const context of one.contexts) {
      if (config.getContextObject(context.name) === null) config.addContext(context);
    }
    for (const cluster of one.clusters) if (config.getCluster(cluster.name) === null) config.addCluster(cluster);
    for (const user of one.users) if (config.getUser(user.name) === null) config.addUser(user);
    if (!config.currentContext && one.currentContext) config.currentContext = one.currentContext;
    for (const [name, entry] of entries(fields, 'users', 'user')) {
      if (!users.has(name)) users.set(name, { tokenFile: tokenFileOf(entry, folder), folder, fields: entry });
    }
    for (const [name, entry] of entries(fields, 'clusters', 'cluster'))
      if (!clusters.has(name)) clusters.set(name, entry);
    for (const [name, entry] of entries(fields, 'contexts', 'context')) {
      if (!entry.cluster && !broken.has(name)) broken.set(name, `context "${name}" in ${file} names no cluster`);
    }
  }
  return { config, users, clusters, broken, empty, source: files.map(({ file }) => file).join(', ') };
}

/** @returns undefined for an empty file. Messages hold the line's number, never its text: it may be a token */
function parse(file: string, text: string): Fields | undefined {
  let parsed: unknown;
  try {
    parsed = parseYaml(text);
  } catch (cause) {
    const where = cause instanceof YAMLException && cause.mark ? ` in line ${cause.mark.line + 1}` : '';
    const what = cause instanceof YAMLException ? cause.reason : errorText(cause);
    throw new InterceptorError('KUBECONFIG_INVALID', `kubeconfig ${file} is not YAML: ${what}${where}`, {
      hint: 'fix the file, or name another with --kubeconfig',
    });
  }
  if (parsed === undefined || parsed === null) return undefined;
  if (typeof parsed !== 'object' || Array.isArray(parsed)) {
    throw new InterceptorError('KUBECONFIG_INVALID', `${file} is not a kubeconfig: it holds no fields`, {
      hint: 'is this the right file? a kubeconfig begins with "apiVersion: v1" and "kind: Config"',
    });
  }
  return { ...parsed };
}

/** The inner objects of a named list: `users: [{name, user: {…}}]`. */
function* entries(fields: Fields, list: string, inner: string): Generator<[string, Fields]> {
  const elements: unknown = fields[list];
  if (!Array.isArray(elements)) return;
  for (const element of elements as unknown[]) {
    if (typeof element !== 'object' || element === null) continue;
    const { name, [inner]: value } = element as Fields;
    if (typeof name === 'string') yield [name, typeof value === 'object' && value !== null ? { ...value } : {}];
  }
}

function tokenFileOf(user: Fields, folder: string): string | undefined {
  const file = user.tokenFile ?? user['token-file'];
  return typeof file === 'string' && file !== '' ? path.resolve(folder, file) : undefined;
}
