import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { makeCredentials } from '../../../../cli/network/proxy/access.ts';
import { ProxyPort } from '../../../../cli/network/proxy/proxy-port.ts';
import { silentLog } from '../../../../src/log.ts';
import { type PodDouble, startPodDouble } from './pod-double.ts';
import { httpUpstream, tcpUpstream, type Upstream } from './upstreams.ts';

export const credentials = makeCredentials();

/** A proxy port that wants the credentials of everybody, the pod behind it, and servers in the cluster. */
export class ProxyWorld {
  readonly pod: PodDouble;
  readonly proxy: ProxyPort;
  readonly #upstreams: Upstream[] = [];

  private constructor(pod: PodDouble, proxy: ProxyPort) {
    this.pod = pod;
    this.proxy = proxy;
  }

  static async open(): Promise<ProxyWorld> {
    const pod = await startPodDouble();
    const { egress, resolver } = pod;
    return new ProxyWorld(pod, await ProxyPort.listen({ egress, resolver, credentials, log: silentLog, uids: [] }));
  }

  /** An HTTP server that answers with the request, its fields in `X-Seen`. @returns its port */
  async web(): Promise<number> {
    const upstream = await httpUpstream((req, res) => {
      void buffer(req).then((body) => {
        res.setHeader('X-Seen', JSON.stringify(req.rawHeaders.slice(0, 40)));
        res.end(`${req.method} ${req.url} ${req.headers.host} ${body}`);
      });
    });
    this.#upstreams.push(upstream);
    return upstream.port;
  }

  /** @returns the port of a server that treats each connection so */
  async tcp(serve: (socket: Socket) => void): Promise<number> {
    const upstream = await tcpUpstream(serve);
    this.#upstreams.push(upstream);
    return upstream.port;
  }

  async dialProxy(): Promise<Socket> {
    const socket = connect({ port: this.proxy.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {}); // resets are part of some tests
    await once(socket, 'connect');
    return socket;
  }

  async close(): Promise<void> {
    await this.proxy.close();
    assert.equal(this.proxy.openConnections, 0);
    await Promise.all(this.#upstreams.map((upstream) => upstream.close()));
    await this.pod.close();
  }
}
