import { systemErrorCode } from '../../src/errors.ts';
import { ProcessUnreachable } from './process-agent.ts';

/** Why a request could not be answered by the process: the value of `x-kube-intercept`, and a text for people. */
export interface GatewayFailure {
  readonly kind: 'process-unreachable' | 'process-hung-up' | 'process-malformed';
  readonly reason: string;
  readonly hint: string;
}

/**
 * Names what went wrong between us and the process.
 * @param options.brokeBefore the request was on a connection that broke, and this is how the second attempt failed
 */
export function gatewayFailure(thrown: unknown, options: { brokeBefore?: boolean } = {}): GatewayFailure {
  if (thrown instanceof ProcessUnreachable && options.brokeBefore === true) {
    return {
      kind: 'process-hung-up',
      reason: `the connection to your process broke during this request, and now ${thrown.message}`,
      hint: 'Look at its output: this request may have made it crash. The next request tries again.',
    };
  }
  if (thrown instanceof ProcessUnreachable) {
    return {
      kind: 'process-unreachable',
      reason: thrown.message,
      hint: 'Start your process, or point the intercept at the port it listens on (--port). The next request tries again.',
    };
  }
  const code = systemErrorCode(thrown) ?? '';
  if (code.startsWith('HPE_') || code.startsWith('ERR_')) {
    return {
      kind: 'process-malformed',
      reason: `your process sent an answer that is not valid HTTP/1.1 (${code})`,
      hint: 'Is it an HTTP/1.1 server? For TLS, HTTP/2 or another protocol intercept the port without --http.',
    };
  }
  return {
    kind: 'process-hung-up',
    reason: `your process closed the connection before it answered${code === '' ? '' : ` (${code})`}`,
    hint: 'Look at its output: it may have crashed or restarted while it worked on this request.',
  };
}

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c] ?? '&quot;');

/**
 * The 502 that a caller gets.
 * @param accept the request's Accept values; HTML is sent only where it is asked for by name, as browsers do
 */
export function badGatewayPage(failure: GatewayFailure, accept: string): { type: string; body: string } {
  const title = 'kube-intercept: no answer from the intercepting process';
  if (/\btext\/html\b/i.test(accept)) {
    const [head, reason, hint] = [title, failure.reason, failure.hint].map(escapeHtml);
    return {
      type: 'text/html; charset=utf-8',
      body: `<!doctype html>\n<meta charset="utf-8">\n<title>${head}</title>\n<h1>${head}</h1>\n<p>${reason}</p>\n<p>${hint}</p>\n`,
    };
  }
  return { type: 'text/plain; charset=utf-8', body: `${title}\n${failure.reason}\n${failure.hint}\n` };
}
