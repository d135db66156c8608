import { createSocket, type RemoteInfo } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { errorText } from '../../../src/errors.ts';
import type { UdpFlow } from '../types.ts';
import type { Listener, ListenOptions } from './tcp-listener.ts';

/** Clients of one port at a time; what more send is dropped. */
const MAX_FLOWS = 1_024;

/**
 * One UDP port of one loopback address; each client has a flow of its own to the same port of `host`.
 * @throws what bind(2) says (EADDRINUSE, EACCES)
 */
export async function listenUdp({ address, port, host, egress, log }: ListenOptions): Promise<Listener> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  const flows = new Map<string, UdpFlow>();
  const listener: Listener = {
    host,
    close: async () => {
      for (const flow of flows.values()) flow.close();
      flows.clear();
      await new Promise<void>((resolve) => socket.close(() => resolve()));
    },
  };

  const open = (from: RemoteInfo): UdpFlow | undefined => {
    const key = `${from.address}:${from.port}`;
    const known = flows.get(key);
    if (known !== undefined || flows.size >= MAX_FLOWS) return known;
    try {
      const flow = egress.openUdp(listener.host, port);
      flow.onMessage = (datagram) => socket.send(datagram, from.port, from.address, () => {}); // an error: the client is gone
      flow.onClose = () => {
        if (flows.get(key) === flow) flows.delete(key);
      };
      flows.set(key, flow);
      return flow;
    } catch (error) {
      log.debug('no way for a datagram', { to: `${listener.host}:${port}`, reason: errorText(error) });
      return undefined; // dropped, as a network does
    }
  };

  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', fail);
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off('error', fail);
      resolve();
    });
  });
  socket.on('error', (error) => log.debug('UDP port failed', { address, port, reason: errorText(error) }));
  socket.on('message', (datagram, from) => open(from)?.send(datagram));
  return listener;
}
