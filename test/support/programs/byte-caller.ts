// Runs in the caller pod of test/e2e/bytes.test.ts: <verb> <host> <name> [<argument>]. Says what it saw as one JSON value on stdout.
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { howItEnds, keystream, keystreamDigest, readAll, readLine, writeAll } from './keystream.ts';

const [verb = '', host = '', name = '', argument = ''] = process.argv.slice(2);
const BODY_BYTES = 4 * 1024 * 1024;
/** The service ports of the five that the process listens on. */
const [BYTES, GREET, WEBSOCKET, HTTP2] = [80, 81, 82, 83] as const;

async function open(firstLine: string): Promise<Socket> {
  const socket = connect({ host, port: BYTES, allowHalfOpen: true, noDelay: true });
  socket.on('error', () => {}); // told to whoever waits
  await once(socket, 'connect');
  socket.write(`${firstLine}\n`);
  return socket;
}

async function echo(id: string, bytes: number): Promise<unknown> {
  const socket = await open(`echo ${id}`);
  const received = readAll(socket);
  const sent = await writeAll(socket, keystream(id, bytes));
  socket.end();
  return { name: id, sent: sent.result(), received: (await received).result() };
}

const VERBS: Record<string, () => Promise<unknown>> = {
  async who() {
    const sockets = Array.from({ length: Number(argument) }, () => open('who'));
    return await Promise.all(sockets.map(async (socket) => await readLine(await socket)));
  },
  async echo() {
    const [count = 0, bytes = 0] = argument.split('x').map(Number);
    return await Promise.all(Array.from({ length: count }, (_, index) => echo(`${name}-${index}`, bytes)));
  },
  /** Ends its request first. */
  async late() {
    const socket = await open(`late ${name}`);
    const sent = await writeAll(socket, keystream(name, BODY_BYTES));
    socket.end();
    const received = await readAll(socket);
    return {
      sent: sent.result(),
      received: received.result(),
      expected: keystreamDigest(`answer to ${name}`, BODY_BYTES),
    };
  },
  /** Sends its request when the answer has ended. */
  async early() {
    const socket = await open(`early ${name}`);
    const received = await readAll(socket);
    const sent = await writeAll(socket, keystream(name, BODY_BYTES));
    socket.end();
    await once(socket, 'close');
    return {
      sent: sent.result(),
      received: received.result(),
      expected: keystreamDigest(`answer to ${name}`, BODY_BYTES),
    };
  },
  /** Resets `argument` connections: every other one right behind some bytes. */
  async hold() {
    for (let index = 0; index < Number(argument); index++) {
      const socket = await open(`hold ${name}-${index}`);
      await readLine(socket);
      if (index % 2 === 1) await new Promise((sent) => socket.write(Buffer.alloc(32 * 1024), sent));
      socket.resetAndDestroy();
    }
    return {};
  },
  /** How the process's resets arrive. */
  async cut() {
    const ended: string[] = [];
    const [when = '', count = 0] = argument.split('x');
    for (let index = 0; index < Number(count); index++) {
      const socket = await open(`cut ${name}-${index} ${when}`);
      if (when === 'idle') {
        await readLine(socket);
        socket.write('now\n');
      }
      ended.push(await howItEnds(socket));
    }
    return ended;
  },
  /** Asks for 1 GiB, reads none of it until the test says so, then a part. */
  async download() {
    const [bytes = 0, readBytes = 0] = argument.split('x').map(Number);
    const socket = await open(`source ${name} ${bytes}`);
    socket.pause();
    await readLine(await open(`wait ${name}`));
    const received = await readAll(socket, readBytes);
    socket.resetAndDestroy();
    return { received: received.result(), expected: keystreamDigest(name, readBytes) };
  },
  /** Sends until it is stuck, says so, and ends when it is not any more. */
  async upload() {
    const socket = await open(`sink ${name}`);
    let isOver = false;
    const onStalled = (bytes: number): void => {
      void open(`note ${name} ${bytes}`);
      void open(`wait ${name}`)
        .then(readLine)
        .then(() => {
          isOver = true;
        });
    };
    const sent = await writeAll(socket, keystream(name, Number(argument)), { onStalled, isOver: () => isOver });
    socket.end();
    await readAll(socket);
    return { sent: sent.result() };
  },
  /** Says nothing until it was spoken to. */
  async greet() {
    const socket = connect({ host, port: GREET });
    const greeting = await readLine(socket);
    socket.write('hello\n');
    return [greeting, await readLine(socket)];
  },
  async websocket() {
    const ws = new WebSocket(`ws://${host}:${WEBSOCKET}/${name}`, { perMessageDeflate: true });
    await once(ws, 'open');
    const big = Buffer.concat([...keystream(name, BODY_BYTES)]);
    const answers: unknown[] = [];
    for (const message of ['text', 'a'.repeat(100_000), big]) {
      ws.send(message);
      const [data, isBinary] = await once(ws, 'message');
      answers.push(isBinary ? big.equals(data) : data.toString() === message);
    }
    ws.ping('are you there');
    const [pong] = await once(ws, 'pong');
    const closed = once(ws, 'close');
    ws.close(4321, 'enough');
    const [code] = await closed;
    return { extensions: ws.extensions, answers, pong: pong.toString(), code };
  },
  /** HTTP/2 without TLS or upgrade, as gRPC: 20 calls at once, and one that waits for an answer to each message. */
  async http2() {
    const session = connectHttp2(`http://${host}:${HTTP2}`);
    await once(session, 'connect');
    const call = async (index: number): Promise<unknown> => {
      const request = session.request({ ':method': 'POST', ':path': `/call/${index}`, te: 'trailers' });
      let path: unknown;
      let status: unknown;
      request.on('response', (headers) => {
        path = headers['x-path'];
      });
      request.on('trailers', (trailers) => {
        status = trailers['grpc-status'];
      });
      const received = readAll(request);
      const sent = await writeAll(request, keystream(`${name}-${index}`, 300_000));
      request.end();
      const isSame = (await received).result().sha256 === sent.result().sha256;
      return { path, status, isSame };
    };
    const calls = await Promise.all(Array.from({ length: 20 }, (_, index) => call(index)));
    const chat = session.request({ ':method': 'POST', ':path': '/chat' });
    const turns: string[] = [];
    for (const turn of ['one', 'two', 'three']) {
      chat.write(turn);
      const [answer] = await once(chat, 'data');
      turns.push(answer.toString());
    }
    chat.end();
    await once(chat.resume(), 'close');
    session.close();
    return { calls, turns };
  },
};

const result = await VERBS[verb]?.();
process.stdout.write(JSON.stringify(result ?? null), () => process.exit(0));
