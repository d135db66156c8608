import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { describe, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { HttpProxy, type RequestRecord } from '../../../cli/session/http-proxy.ts';
import { Mux } from '../../../src/mux/mux.ts';
import { splice } from '../../../src/net/splice.ts';
import { CARRIERS, type CarrierPair } from '../../support/carriers.ts';
import { howItEnds } from '../../support/programs/keystream.ts';
import { until } from '../../support/until.ts';

const BODY_BYTES = 8 * 1024 * 1024;

/** caller — TCP — agent's mux — carrier — session's mux — HttpProxy — process; as with --http. */
class Tunnel {
  readonly process: Server;
  readonly front: TcpServer;
  readonly agent: Mux;
  readonly session: Mux;
  readonly records: RequestRecord[] = [];
  readonly proxy: HttpProxy;
  readonly #pair: CarrierPair;
  readonly #abort = new AbortController();

  private constructor(pair: CarrierPair, process: Server, front: TcpServer) {
    this.#pair = pair;
    this.process = process;
    this.front = front;
    this.proxy = new HttpProxy({
      target: { host: '127.0.0.1', port: portOf(process) },
      holdMs: 10_000,
      onRequest: (record) => this.records.push(record),
    });
    this.agent = new Mux(pair.agent, { side: 'agent', onOpen: () => {}, onControl: () => {} });
    this.session = new Mux(pair.session, {
      side: 'session',
      onOpen: (stream) => {
        stream.accept();
        this.proxy.handle(stream);
      },
      onControl: () => {},
    });
    front.on('connection', (socket) => {
      const stream = this.agent.open({ kind: 'incoming', port: 80, host: '10.0.0.1' });
      splice(socket, stream, this.#abort.signal).catch(() => {}); // a reset: told to both sides
    });
  }

  static async open(connectCarrier: () => Promise<CarrierPair>, process: Server): Promise<Tunnel> {
    const front = createTcpServer({ allowHalfOpen: true, noDelay: true });
    for (const server of [process, front]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    return new Tunnel(await connectCarrier(), process, front);
  }

  /** Waits until every stream is over, then closes all. */
  async close(): Promise<void> {
    await until(
      () => this.agent.stats().openStreams === 0 && this.session.stats().openStreams === 0,
      'no open streams',
    );
    await this.proxy.close();
    this.#abort.abort(new Error('the test ends'));
    await Promise.all([this.session.close(), this.agent.close()]);
    const nothing = { openStreams: 0, queuedBytes: 0, timers: 0 };
    assert.deepEqual([this.agent.stats(), this.session.stats()], [nothing, nothing]);
    await this.#pair.close();
    const closed = [once(this.front, 'close'), once(this.process, 'close')];
    this.front.close();
    this.process.close();
    this.process.closeAllConnections();
    await Promise.all(closed);
  }
}

function portOf(server: TcpServer): number {
  return (server.address() as AddressInfo).port;
}

async function readBody(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe.each(CARRIERS)('HTTP through streams of a tunnel over $name', (carrier) => {
  /** Runs `body` on a tunnel; afterwards nothing may be open. */
  async function onTunnel(process: Server, body: (tunnel: Tunnel, port: number) => Promise<void>): Promise<void> {
    const tunnel = await Tunnel.open(carrier.connect, process);
    await body(tunnel, portOf(tunnel.front));
    await tunnel.close();
  }

  test('a chunked upload arrives byte for byte with its trailers, and so does the answer', async () => {
    const body = randomBytes(BODY_BYTES);
    const process = createServer(async (incoming, response) => {
      const received = await readBody(incoming);
      const { 'transfer-encoding': framing } = incoming.headers;
      response.writeHead(200, { 'x-framing': String(framing), 'x-trailer': String(incoming.trailers['x-sum']) });
      response.end(received);
    });
    await onTunnel(process, async (tunnel, port) => {
      const upload = request({ port, method: 'POST', path: '/up', agent: false, headers: { trailer: 'x-sum' } });
      const answered = once(upload, 'response');
      for (let at = 0; at < body.byteLength; at += 100_000) upload.write(body.subarray(at, at + 100_000));
      upload.addTrailers({ 'x-sum': 'abc' });
      upload.end();
      const [response] = await answered;
      assert.deepEqual([response.headers['x-framing'], response.headers['x-trailer']], ['chunked', 'abc']);
      assert.equal(sha256(await readBody(response)), sha256(body));
      await until(() => tunnel.records.length === 1, 'the record');
      const { ms: _, ...record } = tunnel.records[0] ?? { ms: 0 };
      assert.deepEqual(record, {
        method: 'POST',
        path: '/up',
        status: 200,
        bytesUp: BODY_BYTES,
        bytesDown: BODY_BYTES,
      });
    });
  });

  test('events of a stream that never ends come one by one, and the process learns that the caller left', async () => {
    let send: (text: string) => void = () => {};
    let hasLeft = false;
    const process = createServer((_incoming, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      send = (text) => response.write(`data: ${text}\n\n`);
      response.once('close', () => {
        hasLeft = true;
      });
    });
    await onTunnel(process, async (_tunnel, port) => {
      const asked = get({ port, path: '/events', agent: false });
      asked.on('error', () => {}); // destroyed below
      const [response] = await once(asked, 'response');
      response.on('error', () => {});
      for (const text of ['one', 'two', 'three']) {
        send(text); // the next one only when this one was seen
        const [chunk] = await once(response, 'data');
        assert.equal(chunk.toString(), `data: ${text}\n\n`);
      }
      asked.destroy();
      await until(() => hasLeft, 'the process learns that the caller left');
    });
  });

  test('a WebSocket is made, echoes and closes with its code on both sides', async () => {
    const process = createServer();
    const closes: unknown[] = [];
    new WebSocketServer({ server: process, perMessageDeflate: true }).on('connection', (ws) => {
      ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
      ws.on('close', (code) => closes.push(code));
    });
    await onTunnel(process, async (_tunnel, port) => {
      const ws = new WebSocket(`ws://127.0.0.1:${port}/chat`, { perMessageDeflate: true });
      await once(ws, 'open');
      assert.equal(ws.extensions, 'permessage-deflate');
      for (const message of [Buffer.from('hi'), randomBytes(1024 * 1024)]) {
        ws.send(message);
        const [echoed] = await once(ws, 'message');
        assert.ok(message.equals(echoed));
      }
      const closed = once(ws, 'close');
      ws.close(4001, 'bye');
      assert.equal((await closed)[0], 4001);
      await until(() => closes.length === 1, 'the close at the process');
      assert.deepEqual(closes, [4001]);
    });
  });

  test('an answer that the process cuts is a reset at the caller, not a complete answer', async () => {
    const process = createServer((_incoming, response) => {
      response.write('half of it');
      setImmediate(() => response.socket?.resetAndDestroy());
    });
    await onTunnel(process, async (_tunnel, port) => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.equal(await howItEnds(socket), 'ECONNRESET');
    });
  });

  test('a caller that reads nothing of an answer holds the process back, and other requests pass', async () => {
    let written = 0;
    const chunk = Buffer.alloc(64 * 1024);
    const process = createServer((incoming, response) => {
      if (incoming.url !== '/endless') {
        response.end('ok');
        return;
      }
      const write = (): void => {
        if (response.destroyed) return;
        written += chunk.byteLength;
        if (response.write(chunk)) setImmediate(write);
        else response.once('drain', write);
      };
      write();
    });
    await onTunnel(process, async (_tunnel, port) => {
      const slow = get({ port, path: '/endless', agent: false });
      slow.on('error', () => {});
      const [response] = await once(slow, 'response');
      response.on('error', () => {});
      response.pause();
      let seen = -1;
      for (let same = 0; same < 20; same = written === seen ? same + 1 : 0) {
        seen = written;
        const [quick] = await once(get({ port, path: '/quick', agent: false }), 'response');
        assert.equal((await readBody(quick)).toString(), 'ok');
      }
      assert.ok(written < 64 * 1024 * 1024, `${written} bytes were taken`);
      slow.destroy();
    });
  });
});
