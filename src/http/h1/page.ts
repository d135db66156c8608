import type { Refusal } from '../routing.ts';

const PHRASES: Record<Refusal['status'] | 408, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  508: 'Loop Detected',
};

/**
 * An answer that the router makes itself, as bytes: plain text that says why.
 * @param options `close`: the connection ends behind it; `toHead`: it answers a HEAD and has no body
 */
export function refusalPage(
  status: keyof typeof PHRASES,
  reason: string,
  options: { close: boolean; toHead: boolean },
): Buffer {
  const body = Buffer.from(`${status} ${PHRASES[status]}: ${reason}\n`);
  const fields = [
    `HTTP/1.1 ${status} ${PHRASES[status]}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${body.byteLength}`,
    'Cache-Control: no-store',
    'X-Kube-Intercept: refused',
    `Connection: ${options.close ? 'close' : 'keep-alive'}`,
  ];
  const head = Buffer.from(`${fields.join('\r\n')}\r\n\r\n`);
  return options.toHead ? head : Buffer.concat([head, body]);
}
