import { X509Certificate } from 'node:crypto';
import { type ErrorCode, InterceptorError } from '../../src/errors.ts';
import type { Method } from './client-types.ts';
import type { Credentials, KubeAccess } from './kubeconfig-types.ts';
import { parseStatus, type Status } from './status-parse.ts';

/** Comes with the program. */
const ROLE_FILE = 'deploy/rbac.yaml';

/** An answer of the API server that refuses: `status` is HTTP's, `reason` and `serverMessage` the Status object's. */
export class KubeStatusError extends InterceptorError {
  readonly status: number;
  readonly reason: string;
  readonly serverMessage: string;

  constructor(
    code: ErrorCode,
    message: string,
    answer: { status: number; reason: string; serverMessage: string },
    hint?: string,
  ) {
    super(code, message, hint === undefined ? {} : { hint });
    this.status = answer.status;
    this.reason = answer.reason;
    this.serverMessage = answer.serverMessage;
  }
}

/** The object (or the namespace, or the resource type) does not exist. */
export function isNotFound(thrown: unknown): thrown is KubeStatusError {
  return thrown instanceof KubeStatusError && thrown.status === 404;
}

/** A create found the name taken. */
export function isAlreadyExists(thrown: unknown): thrown is KubeStatusError {
  return thrown instanceof KubeStatusError && thrown.status === 409 && thrown.reason === 'AlreadyExists';
}

/** The object changed since it was read (resourceVersion), or a precondition failed. */
export function isConflict(thrown: unknown): thrown is KubeStatusError {
  return thrown instanceof KubeStatusError && thrown.status === 409 && thrown.reason !== 'AlreadyExists';
}

/** The user lacks a right (as opposed to an admission refusal). */
export function isForbidden(thrown: unknown): thrown is KubeStatusError {
  return thrown instanceof KubeStatusError && thrown.code === 'CLUSTER_FORBIDDEN';
}

/** A watch or a page of a list asked for a state the server no longer keeps: list again. */
export function isExpired(thrown: unknown): thrown is KubeStatusError {
  return thrown instanceof KubeStatusError && thrown.status === 410;
}

export interface RefusedCall {
  readonly access: KubeAccess;
  readonly credentials: Credentials | undefined;
  readonly method: Method;
  /** Without query. */
  readonly path: string;
}

/**
 * Turns an HTTP status of 400 or more into an error.
 * @param text the body: usually a Status object, but proxies answer in their own words
 */
export function statusError(httpStatus: number, text: string, call: RefusedCall): KubeStatusError {
  const answer = parseStatus(httpStatus, text);
  if (answer.status === 401) return unauthorized(answer, call);
  if (answer.status === 403) {
    const lack = /User "([^"]*)" cannot ([\w-]+) (?:resource "([^"]+)"|path "([^"]+)")/.exec(answer.serverMessage);
    if (lack !== null) return forbidden(answer, lack, call);
  }
  if (answer.status === 409) {
    return new KubeStatusError(
      'CLUSTER_CONFLICT',
      `${call.method} ${call.path}: ${answer.serverMessage}`,
      answer,
      answer.reason === 'AlreadyExists' ? undefined : 'someone else changed it at the same time: try again',
    );
  }
  return new KubeStatusError(
    'CLUSTER_REFUSED',
    `the API server refused ${call.method} ${call.path}: ${answer.serverMessage}`,
    answer,
    refusalHint(answer),
  );
}

function unauthorized(answer: Status, { access, credentials }: RefusedCall): KubeStatusError {
  const why = expiredText(credentials);
  return new KubeStatusError(
    'CLUSTER_UNAUTHORIZED',
    `the API server ${access.server} does not accept user "${access.userName}" of context "${access.contextName}" (${access.userKind})${why}`,
    answer,
    `log in to the cluster again, or fetch a new kubeconfig (${access.source}); kubectl --context ${access.contextName} auth whoami shows the same`,
  );
}

function forbidden(answer: Status, lack: RegExpExecArray, { access, path }: RefusedCall): KubeStatusError {
  const [, user = '', verb = '', resource, nonResource] = lack;
  const group = /in API group "([^"]*)"/.exec(answer.serverMessage)?.[1] ?? '';
  const namespace = /in the namespace "([^"]*)"/.exec(answer.serverMessage)?.[1];
  const where = namespace === undefined ? 'in the whole cluster' : `in namespace "${namespace}"`;
  if (resource === undefined) {
    return new KubeStatusError(
      'CLUSTER_FORBIDDEN',
      `user "${user}" may not ${verb} ${nonResource ?? path}`,
      answer,
      `missing rule: nonResourceURLs ["${nonResource ?? path}"], verbs ["${verb}"]`,
    );
  }
  const named = group === '' ? resource : `${resource} (${group})`;
  const anonymous = user === 'system:anonymous' ? `; context "${access.contextName}" sent no credentials` : '';
  return new KubeStatusError(
    'CLUSTER_FORBIDDEN',
    `user "${user}" may not ${verb} ${named} ${where}${anonymous}`,
    answer,
    `missing rule in a ${namespace === undefined ? 'ClusterRole' : 'Role'}: apiGroups ["${group}"], resources ["${resource}"], verbs ["${verb}"]${namespace === undefined ? '' : `; ${ROLE_FILE} has all that are needed`}`,
  );
}

function dateText(date: Date): string {
  return date.toISOString().slice(0, 10);
}

function refusalHint(answer: Status): string | undefined {
  const text = answer.serverMessage;
  if (text.includes('exceeded quota')) return 'the ResourceQuota of the namespace leaves no room for the agent';
  if (text.includes('violates PodSecurity')) return 'the PodSecurity level of the namespace forbids this pod';
  if (text.includes('admission webhook')) return 'an admission webhook of the cluster decides this: ask who runs it';
  if (text.includes('HTTP request to an HTTPS server'))
    return 'check the scheme of the server in the kubeconfig: https';
  if (text.includes('because it is being terminated')) return 'the namespace is being deleted';
  return undefined;
}

/** Which of the credentials has expired and when, as the end of a message; empty where none has that can be read. */
function expiredText(credentials: Credentials | undefined): string {
  const token = tokenExpiredSince(credentials?.authorization);
  if (token !== undefined) return `: the token expired on ${token}`;
  const certificate = expiredSince(credentials?.cert);
  return certificate === undefined ? '' : `: the client certificate expired on ${certificate}`;
}

/** The date a bearer token ended, where it is a JWT (RFC 7519 section 4.1.4) that did. */
function tokenExpiredSince(authorization: string | undefined): string | undefined {
  const claims = /^Bearer [\w-]+\.([\w-]+)\.[\w-]*$/.exec(authorization ?? '')?.[1];
  if (claims === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8'));
    if (typeof parsed !== 'object' || parsed === null || !('exp' in parsed) || typeof parsed.exp !== 'number')
      return undefined;
    return parsed.exp * 1000 < Date.now() ? dateText(new Date(parsed.exp * 1000)) : undefined;
  } catch {
    return undefined; // not a JWT, or a date beyond what Date knows: the server's answer stands alone
  }
}

/** The date a client certificate ended, if it did. */
function expiredSince(pem: string | undefined): string | undefined {
  if (pem === undefined) return undefined;
  try {
    const validTo = new Date(new X509Certificate(pem).validTo);
    return validTo.getTime() < Date.now() ? dateText(validTo) : undefined;
  } catch {
    return undefined; // not a certificate Node can read: the server's answer stands alone
  }
}
