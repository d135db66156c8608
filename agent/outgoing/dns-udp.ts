import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { withId } from '../../src/dns/make.ts';
import { answers, type Question, type Reply, readReply } from '../../src/dns/message.ts';

const MAX_ID = 65_536;

/**
 * Asks one server by one datagram, from a port and with an id of its own, and takes nothing but the answer to it.
 * @param message the question as it is sent, its id aside
 * @param onSettled once; undefined: the server cannot be reached
 * @returns ends it; nothing is told any more
 */
export function askByUdp(
  server: { readonly address: string; readonly port: number },
  question: Question,
  message: Buffer,
  onSettled: (reply: Reply | undefined) => void,
): () => void {
  const id = randomInt(MAX_ID);
  let isOver = false;
  const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
  const close = (): void => {
    if (isOver) return;
    isOver = true;
    socket.close();
  };
  const settle = (reply: Reply | undefined): void => {
    if (isOver) return;
    close();
    onSettled(reply);
  };
  socket.on('error', () => settle(undefined)); // ICMP port unreachable, no route, no more sockets
  socket.on('message', (received) => {
    if (received.byteLength < 2 || received.readUInt16BE(0) !== id) return;
    const reply = readReply(received);
    if (reply !== undefined && answers(reply, question)) settle(reply);
  });
  // Connected: the kernel passes on only what comes from this address and port, and tells ICMP errors.
  socket.on('connect', () => {
    if (isOver) return;
    socket.send(withId(message, id), (failure) => {
      if (failure !== null && failure !== undefined) settle(undefined);
    });
  });
  socket.connect(server.port, server.address); // without a callback: it would get the errors
  return close;
}
