/** Every error code with its exit code. The code is the contract: callers and tests match it, never the text. */
export const ERRORS = {
  USAGE_BAD_OPTION: { exitCode: 2 },
  USAGE_BAD_TARGET: { exitCode: 2 },
  USAGE_BAD_PORT: { exitCode: 2 },

  KUBECONFIG_INVALID: { exitCode: 3 },
  CLUSTER_UNREACHABLE: { exitCode: 3 },
  CLUSTER_UNAUTHORIZED: { exitCode: 3 },
  CLUSTER_FORBIDDEN: { exitCode: 3 },
  CLUSTER_REFUSED: { exitCode: 3 },
  CLUSTER_CONFLICT: { exitCode: 3 },

  TARGET_NOT_FOUND: { exitCode: 5 },
  TARGET_UNSUPPORTED: { exitCode: 5 },
  TARGET_NOT_READY: { exitCode: 5 },
  TARGET_IN_USE: { exitCode: 6 },
  TARGET_REVERTED: { exitCode: 13 },

  ROLLOUT_FAILED: { exitCode: 7 },
  AGENT_IMAGE_UNAVAILABLE: { exitCode: 7 },

  TUNNEL_REFUSED: { exitCode: 4 },
  TUNNEL_UNAUTHENTICATED: { exitCode: 4 },
  TUNNEL_VERSION: { exitCode: 4 },
  TUNNEL_LOST: { exitCode: 4 },

  COMMAND_NOT_FOUND: { exitCode: 127 },
  PROCESS_NOT_LISTENING: { exitCode: 8 },
  SESSION_NOT_FOUND: { exitCode: 9 },
  RESTORE_INCOMPLETE: { exitCode: 10 },

  LAPTOP_NEEDS_ROOT: { exitCode: 11 },
  LAPTOP_IN_USE: { exitCode: 11 },
  LAPTOP_PORT_TAKEN: { exitCode: 11 },

  FILES_LIMIT: { exitCode: 12 },
  FILES_NOT_WRITTEN: { exitCode: 12 },

  PROTOCOL_BAD_FRAME: { exitCode: 70 },
  PROTOCOL_BAD_MESSAGE: { exitCode: 70 },
  STREAM_LIMIT: { exitCode: 70 },
  INTERNAL: { exitCode: 70 },
} as const satisfies Record<string, { exitCode: number }>;

export type ErrorCode = keyof typeof ERRORS;

/** An error a user can act on: what failed on what (message), and what to do (hint). */
export class InterceptorError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'InterceptorError';
    this.code = code;
    this.hint = options.hint;
  }

  get exitCode(): number {
    return ERRORS[this.code].exitCode;
  }
}

/** The text of anything thrown, for a message's cause clause. */
export function errorText(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The `code` of a system error (`ECONNREFUSED`), or undefined. */
export function systemErrorCode(thrown: unknown): string | undefined {
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') return thrown.code;
  return undefined;
}
