import type { ErrorCode } from '../../src/errors.ts';
import { InterceptorError } from '../../src/errors.ts';

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
