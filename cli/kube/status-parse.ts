const MAX_MESSAGE_CHARACTERS = 2_000;

/** What a refusing answer says. */
export interface Status {
  readonly status: number;
  readonly reason: string;
  readonly serverMessage: string;
}

/** Reads a `v1.Status`; any other body gives its first line as message. Never throws. */
export function parseStatus(httpStatus: number, text: string): Status {
  try {
    return statusOf(JSON.parse(text), httpStatus);
  } catch {
    // not JSON: a proxy, or a failing API server in plain text
    const line = text.trim().split('\n', 1)[0] ?? '';
    const plain = line.startsWith('<') ? 'an HTML page, not Kubernetes: a proxy or login page in the way?' : line;
    return { status: httpStatus, reason: '', serverMessage: `HTTP ${httpStatus}: ${cut(plain)}` };
  }
}

/** The same from a parsed object, as a watch's ERROR event carries it. */
export function statusOf(parsed: unknown, httpStatus: number): Status {
  const object: Readonly<Record<string, unknown>> = typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  const code = typeof object.code === 'number' ? object.code : httpStatus;
  const reason = typeof object.reason === 'string' ? object.reason : '';
  const message = typeof object.message === 'string' && object.message !== '' ? object.message : reason;
  return { status: code, reason, serverMessage: message === '' ? `HTTP ${code}` : cut(message) };
}

function cut(text: string): string {
  return text.length <= MAX_MESSAGE_CHARACTERS ? text : `${text.slice(0, MAX_MESSAGE_CHARACTERS)}…`;
}
