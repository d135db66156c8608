import { errorText, InterceptorError, systemErrorCode } from '../../src/errors.ts';
import type { KubeAccess } from './kubeconfig-types.ts';

interface Reason {
  readonly what: string;
  readonly hint: string;
}

const CHECK_VPN = 'is the cluster up, and does it need a VPN or a proxy from here?';
const CHECK_CA =
  'the kubeconfig has another cluster’s certificate-authority, or something intercepts TLS: fetch the kubeconfig again';

const REASONS: Readonly<Record<string, Reason>> = {
  ECONNREFUSED: { what: 'connection refused', hint: `nothing listens there: ${CHECK_VPN}` },
  ENOTFOUND: { what: 'name not found', hint: `check the server’s name in the kubeconfig; ${CHECK_VPN}` },
  EAI_AGAIN: { what: 'the name server does not answer', hint: 'check the network connection and DNS of this machine' },
  EHOSTUNREACH: { what: 'no route to host', hint: CHECK_VPN },
  ENETUNREACH: { what: 'network unreachable', hint: CHECK_VPN },
  EACCES: { what: 'connection not permitted', hint: 'a firewall on this machine forbids it' },
  ETIMEDOUT: { what: 'no answer in time', hint: CHECK_VPN },
  ECONNRESET: {
    what: 'connection closed by the other side',
    hint: 'try again; a proxy or load balancer may be in the way',
  },
  EPIPE: { what: 'connection closed by the other side', hint: 'try again; a proxy or load balancer may be in the way' },
  UND_ERR_SOCKET: {
    what: 'connection closed by the other side',
    hint: 'try again; a proxy or load balancer may be in the way',
  },
  PROXY_REFUSED: { what: 'refused by the proxy', hint: 'check proxy-url in the kubeconfig, HTTPS_PROXY and NO_PROXY' },
  CERT_HAS_EXPIRED: {
    what: 'its certificate has expired',
    hint: 'the cluster’s administrator must renew it; is this machine’s clock right?',
  },
  CERT_NOT_YET_VALID: { what: 'its certificate is not valid yet', hint: 'is this machine’s clock right?' },
  SELF_SIGNED_CERT_IN_CHAIN: { what: 'its certificate is signed by an unknown authority', hint: CHECK_CA },
  DEPTH_ZERO_SELF_SIGNED_CERT: { what: 'its certificate is signed by an unknown authority', hint: CHECK_CA },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: { what: 'its certificate is signed by an unknown authority', hint: CHECK_CA },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: { what: 'its certificate is signed by an unknown authority', hint: CHECK_CA },
  UNABLE_TO_GET_ISSUER_CERT: { what: 'its certificate is signed by an unknown authority', hint: CHECK_CA },
  CERT_SIGNATURE_FAILURE: { what: 'its certificate is signed by an unknown authority', hint: CHECK_CA },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    what: 'its certificate is for another name',
    hint: 'use a name of the certificate as server, or set tls-server-name in the kubeconfig',
  },
  ERR_SSL_WRONG_VERSION_NUMBER: {
    what: 'it does not speak TLS',
    hint: 'check scheme and port of the server in the kubeconfig',
  },
  ERR_SSL_PACKET_LENGTH_TOO_LONG: {
    what: 'it does not speak TLS',
    hint: 'check scheme and port of the server in the kubeconfig',
  },
};

/** The connection failed, or ended before the answer. @returns CLUSTER_UNREACHABLE naming server and reason */
export function unreachable(
  access: Pick<KubeAccess, 'server' | 'proxyUrl' | 'contextName'>,
  cause: unknown,
): InterceptorError {
  if (cause instanceof InterceptorError) return cause;
  const code = systemErrorCode(cause) ?? '';
  const reason = REASONS[code];
  const detail = detailOf(code, cause);
  const what = reason === undefined ? detail : detail === '' ? reason.what : `${reason.what} (${detail})`;
  const via = access.proxyUrl === undefined ? '' : ` through the proxy ${withoutLogin(access.proxyUrl)}`;
  return new InterceptorError(
    'CLUSTER_UNREACHABLE',
    `cannot reach the API server ${access.server} of context "${access.contextName}"${via}: ${what}`,
    { hint: reason?.hint ?? CHECK_VPN, cause },
  );
}

/** No answer within the call's deadline. */
export function noAnswer(access: KubeAccess, call: string, timeoutMs: number): InterceptorError {
  return new InterceptorError(
    'CLUSTER_UNREACHABLE',
    `the API server ${access.server} of context "${access.contextName}" did not answer ${call} within ${timeoutMs / 1000} s`,
    { hint: CHECK_VPN },
  );
}

/** What the code alone does not say. Texts of certificate errors name hosts and names, never secrets. */
function detailOf(code: string, cause: unknown): string {
  if (REASONS[code] === undefined) return errorText(cause);
  if (code === 'PROXY_REFUSED' || code === 'ERR_TLS_CERT_ALTNAME_INVALID') return errorText(cause);
  return '';
}

/** A URL that may be shown: user name and password cut out. */
export function withoutLogin(url: string): string {
  const parsed = new URL(url);
  parsed.username = '';
  parsed.password = '';
  return parsed.href.replace(/\/$/, '');
}
