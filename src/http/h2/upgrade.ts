import type { H2cUpgrade, TakeOver } from '../h1/h2c-upgrade.ts';
import { readUntil } from '../read-until.ts';
import { type Answerer, type HttpRoutes, isRefusal, type Resettable } from '../routing.ts';
import { FRAME_HEAD_BYTES, frameHead, headersFrames, PREFACE, SETTINGS } from './frames.ts';
import { MAX_HEAD_BYTES } from './limits.ts';
import { speaksH2c } from './probe.ts';
import { type H2Options, routeH2 } from './router.ts';

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n';
/** A caller that was told to go on in HTTP/2 begins at once. */
const BEGIN_TIMEOUT_MS = 10_000;
/** Bytes of a setting (RFC 9113 §6.5.1); there are not many. */
const SETTING_BYTES = 6;
const MAX_SETTINGS_BYTES = 64 * SETTING_BYTES;
/** Fields of one HTTP/1.1 connection (RFC 9113 §8.2.2), and Host, which becomes :authority. */
const OF_HTTP1 = new Set([
  ...['connection', 'host', 'http2-settings', 'keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade'],
]);

/**
 * Lets a caller go on in HTTP/2 (RFC 7540 §3.2) when the app, which its request is for, speaks it; a request that somebody else
 * answers stays as it is, since a process need not speak what the app does.
 * @returns what goes on with the connection; undefined: it stays HTTP/1.1
 */
export async function upgradeToH2c(
  { head, settings }: H2cUpgrade,
  app: Answerer,
  routes: HttpRoutes,
  options: H2Options,
): Promise<TakeOver | undefined> {
  if (!areSettings(settings) || head.method === 'CONNECT') return undefined;
  const { answerer } = routes.decide(head);
  if (isRefusal(answerer) || answerer.id !== app.id || !(await speaksH2c(answerer))) return undefined;
  const { names, values } = head.fields;
  const dropped = new Set([...OF_HTTP1, ...head.connection]);
  const fields: [string, string][] = names.flatMap((name, at) => (dropped.has(name) ? [] : [[name, values[at] ?? '']]));
  if (head.header('te')?.toLowerCase().includes('trailers') === true) fields.push(['te', 'trailers']);
  const query = head.query === '' ? '' : `?${head.query}`;
  const path = head.path === '' && head.method === 'OPTIONS' ? '*' : `${head.path || '/'}${query}`;
  const pseudo: [string, string][] = [
    [':method', head.method],
    [':scheme', 'http'],
    [':authority', head.authority],
    [':path', path],
  ];
  const request = headersFrames(1, [...pseudo, ...fields]);
  if (request.byteLength > MAX_HEAD_BYTES) return undefined;
  return async (caller, rest) => {
    caller.pause();
    if (rest.byteLength > 0) caller.unshift(rest);
    caller.write(SWITCHING);
    const begun = await readBeginning(caller);
    if (begun === undefined) {
      caller.resetAndDestroy();
      return;
    }
    const [beginning, behind] = begun;
    // The caller's own preface and SETTINGS first, so that the one acknowledgement it gets is for a frame that it sent.
    await routeH2(caller, Buffer.concat([beginning, request, behind]), routes, options);
  };
}

function areSettings(text: string): boolean {
  if (!/^[A-Za-z0-9_-]*={0,2}$/.test(text)) return false;
  const { byteLength } = Buffer.from(text, 'base64url');
  return byteLength % SETTING_BYTES === 0;
}

/** Reads the preface and the SETTINGS frame that follows it. @returns them and what came behind; undefined: it is something else */
function readBeginning(caller: Resettable): Promise<[Buffer, Buffer] | undefined> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    const settle = (beginning: [Buffer, Buffer] | undefined): void => {
      clearTimeout(timer);
      stop();
      resolve(beginning);
    };
    const gone = (): void => settle(undefined);
    const read = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const end = endOfBeginning(bytes);
      if (end === 'wrong') gone();
      else if (end !== 'wait') settle([bytes.subarray(0, end), bytes.subarray(end)]);
    };
    const timer = setTimeout(gone, BEGIN_TIMEOUT_MS);
    const stop = readUntil(caller, { data: read, end: gone, close: gone });
  });
}

function endOfBeginning(bytes: Buffer): number | 'wait' | 'wrong' {
  const preface = Math.min(bytes.byteLength, PREFACE.byteLength);
  if (!bytes.subarray(0, preface).equals(PREFACE.subarray(0, preface))) return 'wrong';
  const head = frameHead(bytes, PREFACE.byteLength);
  if (head === undefined) return 'wait';
  if (head.type !== SETTINGS || head.length > MAX_SETTINGS_BYTES) return 'wrong';
  const end = PREFACE.byteLength + FRAME_HEAD_BYTES + head.length;
  return bytes.byteLength < end ? 'wait' : end;
}
