import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { withId } from '../../../src/dns/make.ts';
import {
  answers,
  FLAG_TRUNCATED,
  type Question,
  RCODE,
  type Reply,
  readQuestion,
  readReply,
} from '../../../src/dns/message.ts';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import type { DnsServerAddress } from './servers.ts';

/** A server has this long for a datagram, then the next one is asked; after the last one the first again. */
const TRY_MS = 1_500;
const ROUNDS = 2;
const IDS = 65_536;

/**
 * Asks servers in order, over UDP, and over TCP where the answer was cut. One that refuses or fails makes room for the
 * next one; when all do, the first such answer stands.
 * @throws Error when none answers; the signal's reason
 */
export async function askServers(
  servers: readonly DnsServerAddress[],
  message: Buffer,
  signal: AbortSignal,
): Promise<Buffer> {
  const question = readQuestion(message);
  if (typeof question === 'string') throw new Error('not a question');
  let poor: Buffer | undefined;
  let failure = new Error('no DNS server is known');
  for (let round = 0; round < ROUNDS; round++) {
    for (const server of servers) {
      signal.throwIfAborted();
      try {
        let reply = await overUdp(server, question, signal);
        if ((reply.message.readUInt16BE(2) & FLAG_TRUNCATED) !== 0) reply = await overTcp(server, question, signal);
        if (reply.rcode === RCODE.NOERROR || reply.rcode === RCODE.NXDOMAIN) return reply.message;
        poor ??= reply.message;
      } catch (error) {
        signal.throwIfAborted();
        failure = error instanceof Error ? error : new Error(String(error));
      }
    }
    if (poor !== undefined) return poor;
  }
  throw failure;
}

/** A random id and a random port, on a connected socket, and the question back: what a forger has to guess. */
async function overUdp(server: DnsServerAddress, question: Question, signal: AbortSignal): Promise<Reply> {
  const asked = withId(question.message, randomInt(IDS));
  const socket = createSocket(isIPv6(server.host.replace(/%.*$/, '')) ? 'udp6' : 'udp4');
  return await new Promise<Reply>((resolve, reject) => {
    const timer = setTimeout(() => fail(new Error(`${server.host} did not answer in time`)), TRY_MS);
    const onAbort = (): void => fail(signal.reason);
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.close();
    };
    let over = false;
    const fail = (error: Error): void => {
      if (over) return;
      over = true;
      end();
      reject(error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', fail); // ECONNREFUSED: nobody listens
    socket.on('message', (message) => {
      const reply = replyTo(asked, question, message);
      if (reply === undefined || over) return;
      over = true;
      end();
      resolve(reply);
    });
    socket.on('connect', () => {
      if (!over) socket.send(asked);
    });
    socket.connect(server.port, server.host); // without a callback: it would get the errors
  });
}

async function overTcp(server: DnsServerAddress, question: Question, signal: AbortSignal): Promise<Reply> {
  const asked = withId(question.message, randomInt(IDS));
  const reader = new LengthPrefixReader();
  const socket = connect({ host: server.host, port: server.port, timeout: TRY_MS });
  return await new Promise<Reply>((resolve, reject) => {
    const onAbort = (): void => void socket.destroy(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('timeout', () => socket.destroy(new Error(`${server.host} did not answer in time`)));
    socket.on('error', reject);
    socket.on('close', () => {
      signal.removeEventListener('abort', onAbort);
      reject(new Error(`${server.host} closed the connection`));
    });
    socket.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) {
        const reply = replyTo(asked, question, message);
        if (reply === undefined) continue;
        resolve(reply);
        socket.destroy();
      }
    });
    socket.write(withLength(asked));
  });
}

/** @returns the reply on bytes of its own; undefined when the message is none to this question */
function replyTo(asked: Buffer, question: Question, message: Buffer): Reply | undefined {
  if (message.length < 2 || message.readUInt16BE(0) !== asked.readUInt16BE(0)) return undefined;
  const reply = readReply(Buffer.from(message));
  return reply !== undefined && answers(reply, question) ? reply : undefined;
}
