import type { ProxyCredentials } from './access.ts';

/** How the preload learns of the port, in the environment of the process it is loaded into. */
export const PRELOAD_VARIABLE = 'KUBE_INTERCEPT_PROXY';
const NEVER_PROXIED = ['localhost', '127.0.0.1', '::1'] as const;

export interface ProxyVariablesOptions {
  readonly port: number;
  readonly credentials: ProxyCredentials;
  /** Globs of `--local-host`. */
  readonly localHosts: readonly string[];
  /** The Node preload's file. */
  readonly preload: string;
  /** What the command would get without us: NODE_OPTIONS and JAVA_TOOL_OPTIONS are added to. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * The variables that lead programs to the proxy port. Both cases of a name: curl heeds only `http_proxy`, others only
 * `HTTP_PROXY`.
 */
export function proxyVariables(options: ProxyVariablesOptions): Record<string, string> {
  const { port, credentials, environment } = options;
  const { user, password } = credentials;
  const at = `${user}:${password}@127.0.0.1:${port}`;
  const both = (name: string, value: string): Record<string, string> => ({
    [name.toUpperCase()]: value,
    [name.toLowerCase()]: value,
  });
  return {
    ...both('http_proxy', `http://${at}`),
    ...both('https_proxy', `http://${at}`),
    ...both('all_proxy', `socks5h://${at}`),
    ...both('no_proxy', [...NEVER_PROXIED, ...options.localHosts.map(asSuffix)].join(',')),
    NODE_OPTIONS: append(environment.NODE_OPTIONS, `--require ${quoteNodeOption(options.preload)}`),
    [PRELOAD_VARIABLE]: `${port}:${user}:${password}`,
    ...(process.platform === 'linux'
      ? { JAVA_TOOL_OPTIONS: append(environment.JAVA_TOOL_OPTIONS, javaOptions(options).join(' ')) }
      : {}),
  };
}

/**
 * SOCKS for plain sockets: the JVM hands a name that it cannot resolve to the proxy (measured with 17). Its HTTP clients go by
 * http.proxyHost, with the name as it is. NIO channels and InetAddress heed neither. It sends credentials to neither without
 * code of the program's (java.net.socks.password is not read): on Linux the port knows its user (access.ts), elsewhere the
 * JVM would be refused and is left alone.
 */
function javaOptions({ port, localHosts }: ProxyVariablesOptions): string[] {
  const bypass = nonProxyHosts(localHosts);
  const properties = {
    socksProxyHost: '127.0.0.1',
    socksProxyPort: String(port),
    socksNonProxyHosts: bypass,
    'http.proxyHost': '127.0.0.1',
    'http.proxyPort': String(port),
    'https.proxyHost': '127.0.0.1',
    'https.proxyPort': String(port),
    'http.nonProxyHosts': bypass,
  };
  return Object.entries(properties).map(([name, value]) => `-D${name}=${value}`);
}

function nonProxyHosts(localHosts: readonly string[]): string {
  return ['localhost', '127.*', '[::1]', ...localHosts].join('|');
}

/** `*.corp.example` in the words of NO_PROXY, where a leading dot stands for all below. */
function asSuffix(glob: string): string {
  return glob.replace(/^\*(?=\.)/, '');
}

function append(own: string | undefined, ours: string): string {
  return own === undefined || own.trim() === '' ? ours : `${own} ${ours}`;
}

/** Node splits NODE_OPTIONS at spaces outside double quotes; a backslash escapes inside them. */
function quoteNodeOption(path: string): string {
  return /[\s"\\]/.test(path) ? `"${path.replace(/["\\]/g, '\\$&')}"` : path;
}
