import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type DirectEgress, directEgress } from '../../../cli/network/egress/direct.ts';
import type { Egress, Outgoing } from '../../../cli/network/types.ts';
import { type DirectListener, listenDirect } from '../../../cli/session/direct/listener.ts';
import { Peers } from '../../../cli/session/direct/peers.ts';
import { clusterIdentity } from '../../../cli/session/direct/record.ts';
import { ProcessPort } from '../../../cli/session/process-port.ts';
import {
  controlSocketPath,
  processStart,
  removeSessionRecord,
  type SessionRecord,
  writeSessionRecord,
} from '../../../cli/session/state-files.ts';
import { silentLog } from '../../../src/log.ts';
import { StateFolder } from '../../support/state-folder.ts';
import { until } from '../../support/until.ts';
import { portChoice } from './port-choice.ts';

const tls = { ca: 'ca', cert: undefined, key: undefined, servername: undefined, rejectUnauthorized: true };
export const CLUSTER = clusterIdentity({ server: 'https://one', tls, proxyUrl: undefined });
export const OTHER_CLUSTER = clusterIdentity({
  server: 'https://one',
  tls: { ...tls, ca: 'other' },
  proxyUrl: undefined,
});

export interface Program {
  readonly port: number;
  readonly connections: number;
  close(): Promise<void>;
}

export interface SessionParts {
  readonly record: SessionRecord;
  readonly listener: DirectListener;
  isReady: boolean;
}

/** Sessions of a laptop, and what they call. */
export class DirectWorld {
  readonly patient = AbortSignal.timeout(20_000);
  readonly #state: StateFolder;
  readonly #closers: (() => Promise<unknown>)[] = [];

  private constructor(state: StateFolder) {
    this.#state = state;
  }

  static async open(): Promise<DirectWorld> {
    return new DirectWorld(await StateFolder.open());
  }

  async close(): Promise<void> {
    for (const close of this.#closers.reverse()) await close();
    await this.#state.close();
  }

  /** A program that listens; what is left open is destroyed at the end. */
  async program(serve: (socket: Socket) => void): Promise<Program> {
    const open = new Set<Socket>();
    let connections = 0;
    const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
      connections += 1;
      open.add(socket);
      socket.on('close', () => open.delete(socket)).on('error', () => {});
      serve(socket);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const close = async (): Promise<void> => {
      for (const socket of open) socket.destroy();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    };
    this.#closers.push(close);
    return {
      port: address.port,
      get connections() {
        return connections;
      },
      close,
    };
  }

  /** What a session of Service `api` has on the laptop: its port, its listener and its record. */
  async startParts(localPort: number, fields: Partial<SessionRecord> = {}): Promise<SessionParts> {
    const sessionId = fields.sessionId ?? 'one';
    const port = new ProcessPort({
      choice: portChoice({ service: 'api', localPort }),
      to: undefined,
      http: false,
      mirror: false,
      report: () => {},
      log: silentLog,
      holdMs: 0,
      fallback: 'app',
      routeAtFirst: 'app',
      setRoute: async () => {},
    });
    const record: SessionRecord = {
      sessionId,
      pid: process.pid,
      processStart: await processStart(process.pid),
      startedAtMs: 1,
      context: 'test',
      kubeconfig: undefined,
      server: 'https://one',
      namespace: 'shop',
      target: 'api',
      workloadKind: 'Deployment',
      workloadName: 'api',
      service: 'api',
      services: [{ name: 'api', addresses: ['10.96.0.10'] }],
      ports: [port.describe],
      filter: undefined,
      mirror: false,
      socket: join(this.#state.path, 'none.sock'),
      direct: { socket: await controlSocketPath(`${sessionId}-d`), cluster: CLUSTER, by: 'dev@laptop', mark: false },
      envFile: undefined,
      ...fields,
    };
    const listener = await listenDirect(
      await controlSocketPath(`${sessionId}-d`),
      (stream, info) => {
        if (parts.isReady && info.port === 8080) port.take(stream);
        else stream.refuse('gone');
      },
      silentLog,
    );
    const parts: SessionParts = { record, listener, isReady: true };
    await writeSessionRecord(record);
    this.#closers.push(
      () => removeSessionRecord(record),
      () => port.close(),
      () => listener.close(),
    );
    return parts;
  }

  /** The ways out of another session, in whose cluster every name and port is one program. */
  async startCaller(cluster: Program, isLaptops: (host: string) => boolean = () => false): Promise<DirectEgress> {
    const inner: Egress = {
      dialTcp: async () => {
        const socket = connect({ port: cluster.port, host: '127.0.0.1', allowHalfOpen: true });
        await once(socket, 'connect');
        return socket;
      },
      openUdp: () => {
        throw new Error('no datagrams');
      },
    };
    const search = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'];
    const peers = new Peers({ cluster: CLUSTER, namespace: 'shop', search, log: silentLog });
    const egress = directEgress(inner, { targets: peers, isLaptops, log: silentLog });
    this.#closers.push(
      () => peers.close(),
      () => egress.close(),
    );
    return egress;
  }

  async say(egress: Egress, host: string, port: number, text = 'hello'): Promise<string> {
    const outgoing = await egress.dialTcp(host, port, this.patient);
    outgoing.end(text);
    return String(await buffer(outgoing));
  }
}

/** Says its name before all that it repeats. */
export const echo =
  (name: string) =>
  (socket: Socket): void => {
    socket.on('data', (chunk) => socket.write(`${name}:${chunk}`));
    socket.on('end', () => socket.end('.'));
  };

/** Answers each request with its name and with how it was marked. */
export const http =
  (name: string) =>
  (socket: Socket): void => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const by = /x-intercept-by: (.*)\r\n/i.exec(text.slice(0, end + 2))?.[1] ?? 'nobody';
        text = text.slice(end + 4);
        const body = `${name}, ${by}`;
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      }
    });
    socket.on('end', () => socket.end());
  };

/** Requests on one connection, one after the other. @returns the body of the answer to a request with that field */
export function asker(outgoing: Outgoing): (field: string) => Promise<string> {
  let text = '';
  outgoing.on('data', (chunk) => {
    text += chunk;
  });
  const body = (): string | undefined => {
    const length = Number(/content-length: (\d+)\r\n/i.exec(text)?.[1] ?? Number.NaN);
    const start = text.indexOf('\r\n\r\n') + 4;
    return start >= 4 && text.length >= start + length ? text.slice(start, start + length) : undefined;
  };
  return async (field) => {
    text = '';
    outgoing.write(`GET / HTTP/1.1\r\nHost: api\r\n${field}\r\n\r\n`);
    await until(() => body() !== undefined, `an answer: ${text}`);
    return body() ?? '';
  };
}
