import net from 'node:net';
import { isLoopback } from './addresses.ts';
import type { ControlLine } from './control-line.ts';
import { errorNumber } from './errors.ts';
import type { Settings } from './settings.ts';

/** libuv's handle of a TCP socket, below net and tls (private to Node, the same from 18 to 26). */
interface TcpHandle {
  connect(request: ConnectRequest, address: string, port: number): number;
  bind(address: string, port: number, flags?: number): number;
  getsockname(out: { port?: number }): number;
  getpeername(out: { address?: string; family?: string; port?: number }): number;
}

interface ConnectRequest {
  oncomplete(status: number, handle: TcpHandle, request: ConnectRequest, readable: boolean, writable: boolean): void;
}

type Connect = TcpHandle['connect'];

interface TcpPrototype extends TcpHandle {
  connect6: Connect;
}

const HOST = '127.0.0.1';

/**
 * Leads every TCP connection to another machine through the proxy port: below net.Socket, so that net, tls, http, https,
 * http2 and fetch come along, happy eyeballs and their errors as they are. The port is told from which local port the
 * connection will come; once it has dialled, the socket connects to it from there and is joined without a byte in between.
 */
export function patchNet(settings: Settings, line: ControlLine): void {
  const original = net.Socket.prototype.connect;
  let patched = false;
  function connect(this: net.Socket, ...args: unknown[]): net.Socket {
    dropLocalAddress(args);
    const result: net.Socket = Reflect.apply(original, this, args);
    // The handle is there by now, and its connect() is not called before the next tick.
    if (!patched) patched = patchHandle(this, settings, line);
    return result;
  }
  net.Socket.prototype.connect = connect as typeof original;
}

/** @returns whether the socket had a TCP handle to patch the prototype of */
function patchHandle(socket: net.Socket, settings: Settings, line: ControlLine): boolean {
  const handle: unknown = Reflect.get(socket, '_handle');
  const tcp: unknown = parentOf(handle) ?? handle; // tls: its handle wraps the TCP one
  if (typeof tcp !== 'object' || tcp === null || tcp.constructor.name !== 'TCP') return false;
  const prototype: TcpPrototype = Object.getPrototypeOf(tcp);
  if (typeof prototype.connect !== 'function' || typeof prototype.connect6 !== 'function') return false;
  const direct = { connect: prototype.connect, connect6: prototype.connect6 };
  for (const name of ['connect', 'connect6'] as const) {
    prototype[name] = function (this: TcpHandle, request, address, port): number {
      if (isLoopback(address)) return Reflect.apply(direct[name], this, [request, address, port]);
      return connectThrough(this, request, address, port, name === 'connect' ? 'IPv4' : 'IPv6');
    };
  }

  const connectThrough = (
    handle: TcpHandle,
    request: ConnectRequest,
    address: string,
    port: number,
    family: string,
  ): number => {
    const bound = handle.bind(HOST, 0);
    if (bound !== 0) return bound;
    const own: { port?: number } = {};
    handle.getsockname(own);
    const fail = (status: number): void => request.oncomplete(status, handle, request, false, false);
    line.request({ op: 'dial', host: address, port, from: own.port }, ({ code }) => {
      if (code !== undefined) {
        fail(errorNumber(code));
        return;
      }
      handle.getpeername = (out) => {
        Object.assign(out, { address, port, family });
        return 0;
      };
      const status: number = Reflect.apply(direct.connect, handle, [request, HOST, settings.port]);
      if (status !== 0) fail(status); // EBADF: closed while the port dialled
    });
    return 0;
  };
  return true;
}

function parentOf(handle: unknown): unknown {
  return typeof handle === 'object' && handle !== null ? Reflect.get(handle, '_parent') : undefined;
}

/** An address of the laptop's own to connect from means nothing in the pod, and would keep the socket from the proxy. */
function dropLocalAddress(args: unknown[]): void {
  // net.connect() hands over [options, callback] as one array.
  const [first] = args;
  const list: unknown[] = Array.isArray(first) ? first : args;
  const [options] = list;
  if (typeof options !== 'object' || options === null) return;
  if (!('localAddress' in options) && !('localPort' in options)) return;
  const host: unknown = Reflect.get(options, 'host');
  if (typeof host === 'string' && host !== 'localhost' && !isLoopback(host))
    list[0] = { ...options, localAddress: undefined, localPort: undefined };
}
