import type { Socket } from 'node:net';
import type { Outgoing } from '../types.ts';
import { ByteReader } from './byte-reader.ts';
import { serveControl } from './control.ts';
import { SOCKS5_REPLY, socks5Reply } from './dial-answers.ts';
import { dialFor, join, type ProxyContext, say, untilClosed } from './join.ts';
import {
  addressBytes,
  COMMAND_CONNECT,
  COMMAND_CONTROL,
  COMMAND_UDP_ASSOCIATE,
  type Destination,
  METHOD_NONE,
  METHOD_PASSWORD,
  METHOD_REFUSED,
  readAddress,
  SOCKS5_VERSION,
  socks5Answer,
} from './socks-messages.ts';

const PASSWORD_VERSION = 1;
const MAX_SOCKS4_TEXT = 255;
const SOCKS4_GRANTED = 90;
const SOCKS4_REFUSED = 91;
const SOCKS4_NOT_ALLOWED = 93;

type Handshaken = () => void;

/**
 * Serves a SOCKS5 client (RFC 1928, 1929) until its connection is over.
 * @param handshaken called when the client has said what it wants
 * @throws Error for a client that does not speak SOCKS5, or leaves
 */
export async function serveSocks5(socket: Socket, context: ProxyContext, handshaken: Handshaken): Promise<void> {
  const reader = new ByteReader(socket);
  await reader.byte(); // the version, which brought it here
  const methods = await reader.take(await reader.byte());
  if (!(await authenticate(socket, reader, methods, context))) {
    socket.destroySoon();
    return;
  }
  const [version = 0, command = 0, , type = 0] = await reader.take(4);
  if (version !== SOCKS5_VERSION) throw new Error('not SOCKS5');
  const first = await reader.take(1);
  const length = addressBytes(type, first[0] ?? 0);
  if (length === undefined) {
    handshaken();
    say(socket, socks5Answer(SOCKS5_REPLY.addressUnsupported));
    return;
  }
  const host = readAddress(type, Buffer.concat([first, await reader.take(length - 1)]));
  const port = (await reader.take(2)).readUInt16BE();
  handshaken();
  switch (command) {
    case COMMAND_CONNECT:
      await connect(socket, context, { host, port }, (error) =>
        socks5Answer(error === undefined ? SOCKS5_REPLY.succeeded : socks5Reply(error)),
      );
      return;
    case COMMAND_UDP_ASSOCIATE:
      await associate(socket, context, port);
      return;
    case COMMAND_CONTROL:
      socket.write(socks5Answer(SOCKS5_REPLY.succeeded));
      await serveControl(socket, context);
      return;
    default:
      say(socket, socks5Answer(SOCKS5_REPLY.commandUnsupported));
  }
}

/** Serves a SOCKS4 or SOCKS4a client: CONNECT only, and only for the session's own user, since it can send no password. */
export async function serveSocks4(socket: Socket, context: ProxyContext, handshaken: Handshaken): Promise<void> {
  const reader = new ByteReader(socket);
  const head = await reader.take(8);
  await reader.zeroTerminated(MAX_SOCKS4_TEXT); // a user name that anybody can claim
  const address = head.subarray(4, 8);
  const named = address.readUInt32BE() < 256 && address[3] !== 0; // 0.0.0.x: SOCKS4a, the name follows
  const host = named ? await reader.zeroTerminated(MAX_SOCKS4_TEXT) : address.join('.');
  handshaken();
  const answer = (code: number): Buffer => Buffer.from([0, code, 0, 0, 0, 0, 0, 0]);
  if (!context.access.byOwner('tcp', socket.remotePort, socket.localPort)) {
    say(socket, answer(SOCKS4_NOT_ALLOWED));
  } else if (head[1] !== COMMAND_CONNECT) say(socket, answer(SOCKS4_REFUSED));
  else {
    await connect(socket, context, { host, port: head.readUInt16BE(2) }, (error) =>
      answer(error === undefined ? SOCKS4_GRANTED : SOCKS4_REFUSED),
    );
  }
}

/** A password where the client has one to offer; the user who holds its socket counts as well. */
async function authenticate(
  socket: Socket,
  reader: ByteReader,
  methods: Buffer,
  { access }: ProxyContext,
): Promise<boolean> {
  const byOwner = (): boolean => access.byOwner('tcp', socket.remotePort, socket.localPort);
  if (!methods.includes(METHOD_PASSWORD)) {
    const allowed = methods.includes(METHOD_NONE) && byOwner();
    socket.write(Buffer.from([SOCKS5_VERSION, allowed ? METHOD_NONE : METHOD_REFUSED]));
    return allowed;
  }
  socket.write(Buffer.from([SOCKS5_VERSION, METHOD_PASSWORD]));
  if ((await reader.byte()) !== PASSWORD_VERSION) throw new Error('not RFC 1929');
  const user = (await reader.take(await reader.byte())).toString('utf8');
  const password = (await reader.take(await reader.byte())).toString('utf8');
  const allowed = access.byPassword(user, password) || byOwner();
  socket.write(Buffer.from([PASSWORD_VERSION, allowed ? 0 : 1]));
  return allowed;
}

async function connect(
  socket: Socket,
  context: ProxyContext,
  { host, port }: Destination,
  answer: (error: unknown) => Buffer,
): Promise<void> {
  let outgoing: Outgoing;
  try {
    outgoing = await dialFor(socket, context, host, port);
  } catch (error) {
    say(socket, answer(error ?? new Error('failed')));
    return;
  }
  socket.write(answer(undefined));
  await join(socket, outgoing, context);
}

/** The association lives as long as its connection (RFC 1928 §7). @param port of the client, 0 where it does not know */
async function associate(socket: Socket, context: ProxyContext, port: number): Promise<void> {
  const relay = await context.openRelay(socket, port === 0 ? undefined : port);
  if (relay === undefined) {
    say(socket, socks5Answer(SOCKS5_REPLY.failure));
    return;
  }
  try {
    socket.write(socks5Answer(SOCKS5_REPLY.succeeded, { host: '127.0.0.1', port: relay.port }));
    socket.resume(); // nothing is said there any more
    socket.once('end', () => socket.end());
    await untilClosed(socket, context);
  } finally {
    relay.close();
  }
}
