import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'vitest';
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
import type { Filter } from '../../../src/http/filter.ts';
import { silentLog } from '../../../src/log.ts';
import { until } from '../../support/until.ts';

let patient: AbortSignal;
const tls = { ca: 'ca', cert: undefined, key: undefined, servername: undefined, rejectUnauthorized: true };
const CLUSTER = clusterIdentity({ server: 'https://one', tls, proxyUrl: undefined });
const OTHER_CLUSTER = clusterIdentity({ server: 'https://one', tls: { ...tls, ca: 'other' }, proxyUrl: undefined });
const before = process.env.XDG_STATE_HOME;
let folder: string;
let closers: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  patient = AbortSignal.timeout(20_000);
  folder = await mkdtemp(join(tmpdir(), 'ki-direct-'));
  process.env.XDG_STATE_HOME = folder;
});
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
  if (before === undefined) delete process.env.XDG_STATE_HOME;
  else process.env.XDG_STATE_HOME = before;
  await rm(folder, { recursive: true, force: true });
});

interface Program {
  readonly port: number;
  readonly connections: number;
  close(): Promise<void>;
}

/** A program that listens; what is left open is destroyed at the end. */
async function program(serve: (socket: Socket) => void): Promise<Program> {
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
  closers.push(close);
  return {
    port: address.port,
    get connections() {
      return connections;
    },
    close,
  };
}

/** Says its name before all that it repeats. */
const echo =
  (name: string) =>
  (socket: Socket): void => {
    socket.on('data', (chunk) => socket.write(`${name}:${chunk}`));
    socket.on('end', () => socket.end('.'));
  };

/** Answers each request with its name and with how it was marked. */
const http =
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

interface SessionParts {
  readonly record: SessionRecord;
  readonly listener: DirectListener;
  isReady: boolean;
}

/** What a session of Service `api` has on the laptop: its port, its listener and its record. */
async function startParts(localPort: number, fields: Partial<SessionRecord> = {}): Promise<SessionParts> {
  const sessionId = fields.sessionId ?? 'one';
  const port = new ProcessPort({
    choice: {
      service: 'api',
      servicePort: 80,
      servicePortName: undefined,
      localPort,
      appPort: 8080,
      protocol: 'tcp',
      container: 'app',
      targetName: undefined,
    },
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
    socket: join(folder, 'none.sock'),
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
  closers.push(
    () => removeSessionRecord(record),
    () => port.close(),
    () => listener.close(),
  );
  return parts;
}

/** The ways out of another session, in whose cluster every name and port is one program. */
async function startCaller(
  cluster: Program,
  isLaptops: (host: string) => boolean = () => false,
): Promise<DirectEgress> {
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
  closers.push(
    () => peers.close(),
    () => egress.close(),
  );
  return egress;
}

async function say(egress: Egress, host: string, port: number, text = 'hello'): Promise<string> {
  const outgoing = await egress.dialTcp(host, port, patient);
  outgoing.end(text);
  return String(await buffer(outgoing));
}

const user = (value: string): Filter => ({
  match: 'all',
  conditions: [{ on: 'header', name: 'x-user', match: { kind: 'exact', value } }],
});

/** Requests on one connection, one after the other. @returns the body of the answer to a request with that field */
function asker(outgoing: Outgoing): (field: string) => Promise<string> {
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

describe('a Service that another session of the laptop has', () => {
  test('is called directly by each of its names and its address, and nothing else is', async () => {
    const cluster = await program(echo('cluster'));
    const own = await program(echo('process'));
    await startParts(own.port);
    const egress = await startCaller(cluster);
    const asked: [string, number, 'process' | 'cluster'][] = [
      ['api', 80, 'process'],
      ['API', 80, 'process'],
      ['api.shop', 80, 'process'],
      ['api.shop.svc', 80, 'process'],
      ['api.shop.svc.cluster.local', 80, 'process'],
      ['api.shop.svc.cluster.local.', 80, 'process'],
      ['10.96.0.10', 80, 'process'],
      ['api', 8080, 'cluster'],
      ['api.', 80, 'cluster'],
      ['api.other', 80, 'cluster'],
      ['api.shop.svc.other.domain', 80, 'cluster'],
      ['api.shop.pod', 80, 'cluster'],
      ['10.96.0.11', 80, 'cluster'],
    ];
    for (const [host, port, who] of asked)
      assert.equal(await say(egress, host, port), `${who}:hello.`, `${host}:${port}`);
    assert.equal(cluster.connections, asked.filter(([, , who]) => who === 'cluster').length);
  });

  test('that is headless is called by the app’s port', async () => {
    const cluster = await program(echo('cluster'));
    const own = await program(echo('process'));
    await startParts(own.port, { services: [{ name: 'api', addresses: [] }] });
    const egress = await startCaller(cluster);
    assert.equal(await say(egress, 'api', 8080), 'process:hello.');
    assert.equal(await say(egress, 'api', 80), 'cluster:hello.');
  });

  test.each([
    ['of another cluster', { direct: { socket: '/none', cluster: OTHER_CLUSTER, by: '', mark: false } }],
    ['that only gets copies', { mirror: true }],
    ['that does not want to be called', { direct: undefined }],
    ['of another namespace', { namespace: 'other', services: [{ name: 'api', addresses: [] }] }],
    ['whose socket is gone', { direct: { socket: '/none', cluster: CLUSTER, by: '', mark: false } }],
  ] satisfies [string, Partial<SessionRecord>][])(
    'is called through the cluster when it is one %s',
    async (_, fields) => {
      const cluster = await program(echo('cluster'));
      const own = await program(echo('process'));
      await startParts(own.port, fields);
      const egress = await startCaller(cluster);
      assert.equal(await say(egress, 'api', 80), 'cluster:hello.');
      assert.equal(own.connections, 0);
    },
  );

  test('is called through the cluster while it is not ready, while its process is down, and once it has ended', async () => {
    const cluster = await program(echo('cluster'));
    const own = await program(echo('process'));
    const parts = await startParts(own.port);
    const egress = await startCaller(cluster);
    parts.isReady = false;
    assert.equal(await say(egress, 'api', 80), 'cluster:hello.');
    parts.isReady = true;
    assert.equal(await say(egress, 'api', 80), 'process:hello.');
    await own.close();
    assert.equal(await say(egress, 'api', 80), 'cluster:hello.');
    await parts.listener.close();
    assert.equal(await say(egress, 'api', 80), 'cluster:hello.');
  });

  test('is the laptop’s where the user has said so', async () => {
    const cluster = await program(echo('inner'));
    const own = await program(echo('process'));
    await startParts(own.port);
    const egress = await startCaller(cluster, (host) => host === 'api');
    assert.equal(await say(egress, 'api', 80), 'inner:hello.');
    assert.equal(await say(egress, 'api.shop', 80), 'process:hello.');
  });

  test('resets a caller when its process does, and the process when the caller does', async () => {
    const cluster = await program(echo('cluster'));
    const seen: string[] = [];
    const own = await program((socket) => {
      socket.on('error', (error) => seen.push(String(error)));
      socket.on('data', (chunk) => {
        if (String(chunk) === 'reset me') socket.resetAndDestroy();
        else socket.write('ok');
      });
    });
    await startParts(own.port);
    const egress = await startCaller(cluster);
    const cut = await egress.dialTcp('api', 80, patient);
    const failed = once(cut, 'end').then(
      () => 'end',
      () => 'reset',
    ); // once() rejects on 'error'
    cut.resume();
    cut.write('reset me');
    assert.equal(await failed, 'reset');
    const other = await egress.dialTcp('api', 80, patient);
    other.on('error', () => {});
    other.write('hello');
    await once(other, 'data');
    other.resetAndDestroy();
    await until(() => seen.some((text) => text.includes('ECONNRESET')), 'the process sees a reset');
  });

  test('carries more than a window holds, both ways', async () => {
    const cluster = await program(echo('cluster'));
    const own = await program((socket) => socket.pipe(socket));
    await startParts(own.port);
    const egress = await startCaller(cluster);
    const sent = Buffer.alloc(20 * 1024 * 1024, 'kube-intercept ');
    const outgoing = await egress.dialTcp('api', 80, patient);
    outgoing.end(sent);
    assert.ok((await buffer(outgoing)).equals(sent));
  });

  test('has a socket that is its user’s alone', async () => {
    const own = await program(echo('process'));
    const { record } = await startParts(own.port);
    const { mode } = await stat(record.direct?.socket ?? '');
    assert.equal((mode & 0o777).toString(8), '600');
  });
});

describe('a Service of which another session has some requests', () => {
  test('gets each request of one connection where its filter says, marked where it goes to a process', async () => {
    const cluster = await program(http('cluster'));
    const one = await program(http('one'));
    const two = await program(http('two'));
    await startParts(one.port, { sessionId: 'one', filter: user('1') });
    await startParts(two.port, { sessionId: 'two', filter: user('2') });
    const egress = await startCaller(cluster);
    const outgoing = await egress.dialTcp('api', 80, patient);
    const ask = asker(outgoing);
    assert.equal(await ask('X-User: 1'), 'one, dev@laptop');
    assert.equal(await ask('X-User: 2'), 'two, dev@laptop');
    assert.equal(await ask('X-User: 3'), 'cluster, nobody');
    assert.equal(await ask('X-User: 1'), 'one, dev@laptop');
    outgoing.end();
    await once(outgoing, 'close');
    assert.deepEqual([one.connections, two.connections, cluster.connections], [1, 1, 1]);
  });

  test('does not ask the cluster where all requests are the session’s', async () => {
    const cluster = await program(http('cluster'));
    const one = await program(http('one'));
    await startParts(one.port, { filter: user('1') });
    const egress = await startCaller(cluster);
    const outgoing = await egress.dialTcp('api', 80, patient);
    assert.equal(await asker(outgoing)('X-User: 1'), 'one, dev@laptop');
    assert.equal(cluster.connections, 0);
    outgoing.destroy();
  });

  test('has its requests answered by the cluster while the process is down', async () => {
    const cluster = await program(http('cluster'));
    const one = await program(http('one'));
    await startParts(one.port, { filter: user('1') });
    const egress = await startCaller(cluster);
    await one.close();
    const outgoing = await egress.dialTcp('api', 80, patient);
    assert.match(await asker(outgoing)('X-User: 1'), /^cluster/);
    outgoing.destroy();
  });

  test('has what is no HTTP answered by the cluster', async () => {
    const cluster = await program(echo('cluster'));
    const one = await program(echo('one'));
    await startParts(one.port, { filter: user('1') });
    const egress = await startCaller(cluster);
    assert.equal(await say(egress, 'api', 80, '\x00\x01\x02binary'), 'cluster:\x00\x01\x02binary.');
  });

  test('resets its connections when the caller’s session ends', async () => {
    const cluster = await program(http('cluster'));
    const one = await program(http('one'));
    await startParts(one.port, { filter: user('1') });
    const egress = await startCaller(cluster);
    const outgoing = await egress.dialTcp('api', 80, patient);
    await asker(outgoing)('X-User: 1');
    await egress.close();
    await until(() => outgoing.destroyed, 'the connection is reset');
  });
});
