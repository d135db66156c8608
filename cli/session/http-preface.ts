import type { Duplex } from 'node:stream';

/** What an HTTP/2 connection begins with when the client knows that the server speaks it (RFC 9113 §3.4). */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/**
 * Whether a caller speaks HTTP/2 in clear text, told by what it says first, which is put back. Resolves once that is clear;
 * false also for a caller that ends or is closed before.
 */
export async function speaksHttp2(caller: Duplex): Promise<boolean> {
  const chunks: Buffer[] = [];
  const verdict = await new Promise<boolean>((resolve) => {
    const done = (isHttp2: boolean): void => {
      caller.off('readable', look).off('end', no).off('close', no);
      resolve(isHttp2);
    };
    const no = (): void => done(false);
    const look = (): void => {
      for (let chunk: Buffer | null = caller.read(); chunk !== null; chunk = caller.read()) {
        chunks.push(chunk);
        const said = Buffer.concat(chunks);
        const length = Math.min(said.byteLength, PREFACE.byteLength);
        const matches = said.subarray(0, length).equals(PREFACE.subarray(0, length));
        if (!matches || length === PREFACE.byteLength) {
          done(matches);
          return;
        }
      }
    };
    caller.on('readable', look).once('end', no).once('close', no);
  });
  if (!caller.destroyed && !caller.readableEnded && chunks.length > 0) caller.unshift(Buffer.concat(chunks));
  return verdict;
}
