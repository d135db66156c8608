import { randomInt } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { withId } from '../../src/dns/make.ts';
import { answers, type Question, type Reply, readReply } from '../../src/dns/message.ts';
import { LengthPrefixReader, withLength } from '../../src/net/length-prefix.ts';
import { DNS_TCP_IDLE_MS } from '../limits.ts';

const MAX_ID = 65_536;

interface Pending {
  readonly question: Question;
  readonly message: Buffer;
  readonly onSettled: (reply: Reply | undefined) => void;
  /** The connection was idle and may have been closed by the server just now: a second one is tried. */
  mayRetry: boolean;
}

/** One server over TCP: one connection for all questions, kept for a while, answers in any order (RFC 7766). */
export class DnsTcp {
  readonly #server: { readonly address: string; readonly port: number };
  #connection: Connection | undefined;

  constructor(server: { readonly address: string; readonly port: number }) {
    this.#server = server;
  }

  /** The same as askByUdp(). */
  ask(question: Question, message: Buffer, onSettled: (reply: Reply | undefined) => void): () => void {
    const pending: Pending = { question, message, onSettled, mayRetry: true };
    this.#send(pending);
    return () => {
      pending.mayRetry = false;
      this.#connection?.forget(pending);
    };
  }

  close(): void {
    this.#connection?.close();
  }

  #send(pending: Pending): void {
    const open = this.#connection;
    if (open !== undefined) {
      open.ask(pending);
      return;
    }
    pending.mayRetry = false;
    const connection = new Connection(this.#server, (unanswered) => {
      if (this.#connection === connection) this.#connection = undefined;
      for (const left of unanswered) {
        if (left.mayRetry) this.#send(left);
        else left.onSettled(undefined);
      }
    });
    this.#connection = connection;
    connection.ask(pending);
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #reader = new LengthPrefixReader();
  readonly #pending = new Map<number, Pending>();

  constructor(
    { address, port }: { readonly address: string; readonly port: number },
    onClose: (unanswered: Pending[]) => void,
  ) {
    const socket = connect({ host: address, port, noDelay: true });
    this.#socket = socket;
    socket.setTimeout(DNS_TCP_IDLE_MS, () => socket.destroy());
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => onClose([...this.#pending.values()]));
    socket.on('data', (chunk: Buffer) => {
      for (const message of this.#reader.push(chunk)) this.#receive(message);
    });
  }

  ask(pending: Pending): void {
    let id = randomInt(MAX_ID);
    while (this.#pending.has(id)) id = randomInt(MAX_ID);
    this.#pending.set(id, pending);
    this.#socket.write(withLength(withId(pending.message, id)));
  }

  forget(pending: Pending): void {
    for (const [id, known] of this.#pending) if (known === pending) this.#pending.delete(id);
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(message: Buffer): void {
    if (message.byteLength < 2) return;
    const pending = this.#pending.get(message.readUInt16BE(0));
    const reply = pending === undefined ? undefined : readReply(message);
    if (pending === undefined || reply === undefined || !answers(reply, pending.question)) return;
    this.#pending.delete(message.readUInt16BE(0));
    pending.onSettled(reply);
  }
}
