import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import * as http2 from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import * as tls from 'node:tls';
import type { Answerer } from '../../../src/http/routing.ts';
import { tlsEnding } from '../../../src/net/tls.ts';
import { makeCertificate } from '../../support/test-certificates.ts';
import { ask, World } from './h2-world.ts';

export const certificate = makeCertificate(['shop.test']);

/** A TLS handshake that a server has seen. */
export interface Seen {
  readonly name: string;
  readonly serverName: string | false | null | undefined;
  readonly protocol: string | false | null;
}

/** Servers and callers that speak TLS, and a filtered port with a certificate before them. */
export class TlsWorld extends World {
  /** A TLS server that answers HTTP/2 and HTTP/1.1 with its name. */
  async tlsApp(name: string, seen: Seen[], material = certificate): Promise<number> {
    const server = http2.createSecureServer(
      { ...material, allowHTTP1: true },
      (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
        response.end(`${name} ${request.httpVersion} ${request.url}`);
      },
    );
    server.on('secureConnection', (socket) => {
      const serverName: string | false | undefined = Reflect.get(socket, 'servername');
      seen.push({ name, serverName, protocol: socket.alpnProtocol });
    });
    server.on('sessionError', () => {});
    return await this.listen(server);
  }

  /** A filtered port with the certificate: requests with `x-user: dev` go to the process, others to the app. @returns the port */
  async filtered(appPort: number, processPort: number, more: Partial<Answerer> = {}): Promise<number> {
    const app = this.answerer('app', appPort);
    const process = this.answerer('dev', processPort, { fallback: app, ...more });
    return await this.route((head) => ({ answerer: head.header('x-user') === 'dev' ? process : app }), {
      app,
      tls: tlsEnding({ certificate: certificate.cert, key: certificate.key }),
    });
  }

  /** A caller that trusts the certificate; an error of it is the test's to look at. */
  tlsCaller(port: number, options: tls.ConnectionOptions): tls.TLSSocket {
    const socket = tls.connect({ port, host: '127.0.0.1', ca: certificate.cert, servername: 'shop.test', ...options });
    socket.on('error', () => {});
    this.onClose(() => socket.destroy());
    return socket;
  }

  /** A caller that offers both protocols and gets HTTP/2. */
  async h2Caller(port: number): Promise<http2.ClientHttp2Session> {
    const socket = this.tlsCaller(port, { ALPNProtocols: ['h2', 'http/1.1'] });
    await once(socket, 'secureConnect');
    assert.equal(socket.alpnProtocol, 'h2');
    return http2.connect('https://shop.test', { createConnection: () => socket });
  }

  /** Sends `request` as it stands. @returns all that comes until the connection closes */
  async http1(port: number, options: tls.ConnectionOptions, request: string): Promise<string> {
    const socket = this.tlsCaller(port, options);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.write(request);
    await new Promise((resolve) => socket.once('close', resolve));
    return text;
  }

  /** A TLS server that speaks just this, told apart by ALPN. */
  async only(name: string, ALPNProtocols: string[] | undefined): Promise<number> {
    const answer = (_request: unknown, response: { end(text: string): void }): void => response.end(name);
    const h2 = http2.createServer(answer);
    const h1 = createHttpServer(answer);
    const server = tls.createServer({ ...certificate, ...(ALPNProtocols && { ALPNProtocols }) }, (socket) => {
      socket.on('error', () => {});
      this.onClose(() => socket.destroy());
      (socket.alpnProtocol === 'h2' ? h2 : h1).emit('connection', socket);
    });
    server.on('tlsClientError', () => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.onClose(() => server.close());
    return (server.address() as AddressInfo).port;
  }

  /** What is chosen of what a caller offers, or the alert it gets. */
  async negotiated(port: number, ALPNProtocols: string[]): Promise<string | false | null | undefined> {
    const socket = this.tlsCaller(port, { ALPNProtocols });
    return await new Promise((resolve) => {
      socket.once('secureConnect', () => resolve(socket.alpnProtocol));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });
  }

  /** Answers by the protocol that is chosen of both, without and with the key. */
  async asked(port: number): Promise<string[]> {
    const protocol = await this.negotiated(port, ['h2', 'http/1.1']);
    const answers = [String(protocol)];
    for (const user of ['else', 'dev']) {
      if (protocol === 'h2') {
        const client = await this.h2Caller(port);
        const { status, body } = await ask(client, { ':path': '/', 'x-user': user });
        answers.push(`${status} ${body.trim()}`);
        client.close();
      } else {
        const request = `GET / HTTP/1.1\r\nHost: shop.test\r\nX-User: ${user}\r\nConnection: close\r\n\r\n`;
        const text = await this.http1(port, { ALPNProtocols: ['h2', 'http/1.1'] }, request);
        answers.push(`${/^HTTP\/1.1 (\d+)/.exec(text)?.[1]} ${text.split('\r\n\r\n')[1]?.trim()}`);
      }
    }
    return answers;
  }

  /** The first bytes of a TLS client. */
  async clientHello(): Promise<Buffer> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = this.tlsCaller((server.address() as AddressInfo).port, {});
    const [connection] = (await once(server, 'connection')) as [Socket];
    const [hello] = (await once(connection, 'data')) as [Buffer];
    client.destroy();
    connection.destroy();
    server.close();
    return hello;
  }
}
