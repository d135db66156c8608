import type { Answerer, Resettable } from '../routing.ts';
import { FRAME_HEAD_BYTES, frame, frameHead, PREFACE, SETTINGS } from './frames.ts';

/** An app that says nothing for so long does not speak it. */
const PROBE_TIMEOUT_MS = 1_000;
/** How long an answer holds: an app may be replaced by another version. */
const REMEMBERED_MS = 60_000;

const known = new WeakMap<Answerer, { readonly speaks: Promise<boolean>; readonly untilMs: number }>();

/** Whether an answerer speaks HTTP/2 in clear text by prior knowledge; asked once a minute for each Answerer object. */
export function speaksH2c(answerer: Answerer): Promise<boolean> {
  const now = performance.now();
  const have = known.get(answerer);
  if (have !== undefined && have.untilMs > now) return have.speaks;
  const speaks = probe(answerer);
  known.set(answerer, { speaks, untilMs: now + REMEMBERED_MS });
  return speaks;
}

/** Says what a client says first; a server says SETTINGS first (RFC 9113 §3.4), anything else is another protocol. */
async function probe(answerer: Answerer): Promise<boolean> {
  let connection: Resettable;
  try {
    connection = await answerer.connect(AbortSignal.timeout(PROBE_TIMEOUT_MS));
  } catch {
    return false;
  }
  return await new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    const settle = (speaks: boolean): void => {
      clearTimeout(timer);
      resolve(speaks);
      connection.destroy();
    };
    const timer = setTimeout(() => settle(false), PROBE_TIMEOUT_MS);
    connection.on('error', () => settle(false));
    connection.on('close', () => settle(false));
    connection.on('end', () => settle(false));
    connection.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const head = frameHead(bytes, 0);
      if (head !== undefined) settle(head.type === SETTINGS && head.streamId === 0);
      else if (bytes.byteLength >= FRAME_HEAD_BYTES) settle(false);
    });
    connection.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, Buffer.alloc(0))]));
  });
}
