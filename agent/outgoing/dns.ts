import { setMaxListeners } from 'node:events';
import type { MuxStream } from '../../src/mux/mux.ts';
import { LengthPrefixReader, withLength } from '../../src/net/length-prefix.ts';
import { MAX_DNS_UNREAD_BYTES } from '../limits.ts';
import type { DnsClient } from './dns-client.ts';

/**
 * Serves a stream of kind `dns`: questions in, answers out as they come (RFC 7766).
 * @returns once the stream is closed; never rejects
 */
export async function serveDns(stream: MuxStream, client: DnsClient, owner: object): Promise<void> {
  const reader = new LengthPrefixReader();
  const gone = new AbortController();
  setMaxListeners(0, gone.signal); // one for each question
  let inFlight = 0;
  const endWhenAnswered = (): void => {
    if (stream.readableEnded && inFlight === 0) stream.end();
  };
  const answer = async (question: Buffer): Promise<void> => {
    inFlight += 1;
    const reply = await client.answer(question, gone.signal, owner);
    inFlight -= 1;
    if (stream.destroyed) return;
    // Who does not read its answers loses them, as over UDP; it asks no more until it has read.
    if (reply !== undefined && stream.writableLength < MAX_DNS_UNREAD_BYTES && !stream.write(withLength(reply)))
      stream.pause();
    endWhenAnswered();
  };
  const closed = new Promise<void>((resolve) => {
    stream.once('close', () => {
      gone.abort();
      resolve();
    });
  });
  stream.on('data', (chunk: Buffer) => {
    for (const question of reader.push(chunk)) void answer(question);
  });
  stream.on('drain', () => stream.resume());
  stream.on('end', endWhenAnswered);
  stream.accept();
  await closed;
}
