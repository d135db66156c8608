import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { onTestFinished } from 'vitest';
import { KubeClient } from '../../../cli/kube/client.ts';
import { type KubeAccess, loadKubeConfig } from '../../../cli/kube/kubeconfig.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { makeCertificate, type TestCertificate } from '../../support/test-certificates.ts';

/** A socket server that answers as the test says: for what our client does on the wire, not for what Kubernetes does. */
export interface WireServer {
  readonly url: string;
  readonly port: number;
  readonly server: http.Server;
  /** Connections accepted so far. */
  readonly connections: () => number;
  readonly sockets: ReadonlySet<Socket>;
}

export const authority = makeCertificate(['test authority']);
export const serverCertificate = makeCertificate(['127.0.0.1', 'localhost'], authority);

export async function wireServer(
  handler: http.RequestListener,
  certificate: TestCertificate | 'plain' = serverCertificate,
): Promise<WireServer> {
  const server =
    certificate === 'plain'
      ? http.createServer(handler)
      : https.createServer({ cert: certificate.cert, key: certificate.key }, handler);
  let connections = 0;
  const sockets = new Set<Socket>();
  server.on(certificate === 'plain' ? 'connection' : 'secureConnection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const port = await listen(server);
  return {
    url: `${certificate === 'plain' ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    server,
    connections: () => connections,
    sockets,
  };
}

/** Listens on a free port of 127.0.0.1 until the test ends. */
export async function listen(server: Server, port = 0): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  onTestFinished(() => {
    if (server instanceof http.Server) server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

export interface AccessParts {
  readonly user?: object;
  readonly cluster?: object;
  readonly env?: Record<string, string>;
}

/** What a kubeconfig with this server and user gives. */
export async function accessTo(server: string, parts: AccessParts = {}): Promise<KubeAccess> {
  const folder = await mkdtemp(path.join(tmpdir(), 'kube-access-'));
  const file = path.join(folder, 'config');
  const ca = Buffer.from(authority.cert).toString('base64');
  const config = {
    contexts: [{ name: 'test', context: { cluster: 'c', user: 'ann' } }],
    clusters: [{ name: 'c', cluster: { server, 'certificate-authority-data': ca, ...parts.cluster } }],
    users: [{ name: 'ann', user: parts.user ?? { token: 's3cret' } }],
    'current-context': 'test',
  };
  await writeFile(file, JSON.stringify(config));
  onTestFinished(() => rm(folder, { recursive: true }));
  return await loadKubeConfig({ kubeconfig: file, env: parts.env ?? {} });
}

export async function clientFor(server: string, parts: AccessParts = {}): Promise<KubeClient> {
  const client = await KubeClient.connect(await accessTo(server, parts));
  onTestFinished(() => client.close());
  return client;
}

export function sendJson(
  response: http.ServerResponse,
  status: number,
  value: object,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
}

export function statusObject(code: number, reason: string, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
}

/** An object as a server may send it: what the client does not know stays. */
export const POD = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', extra: 1 }, spec: { unknown: ['kept'] } };

/** What a call is refused with; the token `s3cret` is not in it. */
export async function failure(promise: Promise<unknown>): Promise<InterceptorError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof InterceptorError, String(error));
  assert.doesNotMatch(`${error.message} ${error.hint}`, /s3cret/);
  return error;
}
