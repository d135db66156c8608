import { readFile } from 'node:fs/promises';
import { errorText, InterceptorError, systemErrorCode } from '../../src/errors.ts';
import { ExecPlugin, parseExecConfig } from './exec-plugin.ts';
import type { Cluster, KubeConfig, User } from './k8s.ts';
import type { MergedConfig, UserExtras } from './kubeconfig-merge.ts';
import { proxyFor } from './kubeconfig-proxy.ts';
import type { Credentials, KubeAccess, KubeTls } from './kubeconfig-types.ts';

/** Client-go reads token files again after at most a minute; a rotated one is also read after a 401. */
const TOKEN_FILE_CACHE_MS = 10_000;

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Everything needed to talk to the cluster of the current context.
 * @throws InterceptorError KUBECONFIG_INVALID
 */
export async function createAccess(merged: MergedConfig, namespace: string | undefined, env: Env): Promise<KubeAccess> {
  const { config, source } = merged;
  const context = config.getContextObject(config.currentContext);
  if (context === null) throw invalid(`no context in ${source}`, 'choose one with --context');
  const cluster = config.getCluster(context.cluster);
  if (cluster === null) {
    const known = config.clusters.map(({ name }) => name).join(', ');
    throw invalid(
      `context "${context.name}" names cluster "${context.cluster}", which ${source} does not have`,
      known === '' ? 'the kubeconfig has no usable clusters' : `clusters: ${known}`,
    );
  }
  const user = context.user === undefined || context.user === '' ? undefined : config.getUser(context.user);
  if (user === null) {
    const known = config.users.map(({ name }) => name).join(', ');
    throw invalid(
      `context "${context.name}" names user "${context.user}", which ${source} does not have`,
      `users: ${known || 'none'}`,
    );
  }
  const server = cluster.server.replace(/\/+$/, '');
  if (!URL.canParse(server) || !/^https?:$/.test(new URL(server).protocol)) {
    throw invalid(
      `cluster "${cluster.name}" in ${source} has a server that is not an https URL`,
      'such as https://host:6443',
    );
  }
  const tls = await readTls(cluster, user, source);
  const proxyUrl = proxyFor(server, cluster.proxyUrl, env);
  const extras = user === undefined ? undefined : merged.users.get(user.name);
  const credentials = credentialSource({
    config,
    cluster,
    user,
    extras,
    tls,
    proxyUrl,
    rawCluster: merged.clusters.get(cluster.name),
  });
  return {
    server,
    namespace: namespace ?? context.namespace ?? 'default',
    contextName: context.name,
    clusterName: cluster.name,
    userName: user?.name ?? '(none)',
    source,
    tls,
    headers: impersonation(user, extras),
    proxyUrl,
    userKind: credentials.kind,
    credentials: (signal) => credentials.get(signal),
    authorization: async (signal) => (await credentials.get(signal)).authorization,
    forgetCredentials: (refused) => credentials.forget(refused),
  };
}

interface CredentialSource {
  readonly kind: string;
  get(signal?: AbortSignal): Promise<Credentials>;
  forget(refused: Credentials): boolean;
}

interface UserParts {
  readonly config: KubeConfig;
  readonly cluster: Cluster;
  readonly rawCluster: Readonly<Record<string, unknown>> | undefined;
  readonly user: User | undefined;
  readonly extras: UserExtras | undefined;
  readonly tls: KubeTls;
  readonly proxyUrl: string | undefined;
}

/** In client-go's order: what is written down before what must be run. */
function credentialSource(parts: UserParts): CredentialSource {
  const { config, user, extras, tls } = parts;
  const { cert, key } = tls;
  const fixed = (kind: string, authorization: string | undefined): CredentialSource => {
    const credentials = { authorization, cert, key };
    return { kind, get: async () => credentials, forget: () => false };
  };
  if (user === undefined) return fixed('no user', undefined);
  if (extras?.tokenFile !== undefined) return tokenFile(extras.tokenFile, tls);
  if (user.token) return fixed('token', `Bearer ${user.token.trim()}`);
  if (user.username) {
    return fixed('password', `Basic ${Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64')}`);
  }
  if (user.exec) {
    const plugin = new ExecPlugin(parseExecConfig(user.exec, user.name), {
      userName: user.name,
      folder: extras?.folder ?? process.cwd(),
      cluster: {
        server: parts.cluster.server,
        'tls-server-name': tls.servername,
        'insecure-skip-tls-verify': tls.rejectUnauthorized ? undefined : true,
        'certificate-authority-data': tls.ca === undefined ? undefined : Buffer.from(tls.ca).toString('base64'),
        'proxy-url': parts.proxyUrl,
        config: execExtension(parts.rawCluster),
      },
      base: { authorization: undefined, cert, key },
    });
    return {
      kind: plugin.kind,
      get: (signal) => plugin.credentials(signal),
      forget: (refused) => plugin.forget(refused),
    };
  }
  if (user.authProvider) return authProvider(config, user, tls);
  return fixed(cert === undefined ? 'no credentials' : 'client certificate', undefined);
}

function tokenFile(file: string, { cert, key }: KubeTls): CredentialSource {
  let cached: { readonly credentials: Credentials; readonly untilMs: number } | undefined;
  return {
    kind: `token file ${file}`,
    async get() {
      if (cached !== undefined && performance.now() < cached.untilMs) return cached.credentials;
      const token = (await readText(file, 'token file')).trim();
      if (token === '') throw invalid(`token file ${file} is empty`, 'log in again');
      cached = {
        credentials: { authorization: `Bearer ${token}`, cert, key },
        untilMs: performance.now() + TOKEN_FILE_CACHE_MS,
      };
      return cached.credentials;
    },
    forget(refused) {
      if (cached?.credentials === refused) cached = undefined;
      return true;
    },
  };
}

/** oidc, gcp, azure: client-node knows how. */
function authProvider(config: KubeConfig, user: User, { cert, key }: KubeTls): CredentialSource {
  const name = String(user.authProvider?.name ?? 'unnamed');
  return {
    kind: `auth provider ${name}`,
    async get() {
      const headers: Record<string, string> = {};
      try {
        await config.applyToHTTPSOptions({ headers });
      } catch (cause) {
        throw new InterceptorError(
          'CLUSTER_UNAUTHORIZED',
          `auth provider ${name} of user "${user.name}" gave no credentials: ${errorText(cause)}`,
          { hint: 'log in again with your provider’s command', cause },
        );
      }
      return { authorization: headers.Authorization, cert, key };
    },
    forget: () => false,
  };
}

async function readTls(cluster: Cluster, user: User | undefined, source: string): Promise<KubeTls> {
  const [ca, cert, key] = await Promise.all([
    pem(cluster.caData, cluster.caFile, `certificate-authority of cluster "${cluster.name}"`, source),
    pem(user?.certData, user?.certFile, `client-certificate of user "${user?.name}"`, source),
    pem(user?.keyData, user?.keyFile, `client-key of user "${user?.name}"`, source),
  ]);
  return { ca, cert, key, servername: cluster.tlsServerName || undefined, rejectUnauthorized: !cluster.skipTLSVerify };
}

async function pem(
  data: string | undefined,
  file: string | undefined,
  what: string,
  source: string,
): Promise<string | undefined> {
  if (!data && !file) return undefined;
  const text = data ? Buffer.from(data, 'base64').toString('utf8') : await readText(file ?? '', what);
  if (!text.includes('-----BEGIN ')) throw invalid(`${what} in ${source} is not PEM`, 'fetch the kubeconfig again');
  return text;
}

async function readText(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw invalid(
      `${what}: cannot read ${file}: ${systemErrorCode(cause) ?? errorText(cause)}`,
      'check that path in the kubeconfig',
    );
  }
}

function impersonation(user: User | undefined, extras: UserExtras | undefined): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  const as: unknown = user?.impersonateUser;
  if (typeof as === 'string' && as !== '') headers['impersonate-user'] = as;
  const groups: unknown = extras?.fields['as-groups'];
  if (Array.isArray(groups) && groups.length > 0) headers['impersonate-group'] = groups.map(String);
  const uid: unknown = extras?.fields['as-uid'];
  if (typeof uid === 'string' && uid !== '') headers['impersonate-uid'] = uid;
  return headers;
}

/** What the cluster's entry holds for exec plugins (KEP 541). */
function execExtension(cluster: Readonly<Record<string, unknown>> | undefined): unknown {
  const extensions: unknown = cluster?.extensions;
  if (!Array.isArray(extensions)) return undefined;
  for (const entry of extensions as unknown[]) {
    if (
      typeof entry === 'object' &&
      entry !== null &&
      'name' in entry &&
      entry.name === 'client.authentication.k8s.io/exec'
    ) {
      return 'extension' in entry ? entry.extension : undefined;
    }
  }
  return undefined;
}

function invalid(message: string, hint: string): InterceptorError {
  return new InterceptorError('KUBECONFIG_INVALID', message, { hint });
}
