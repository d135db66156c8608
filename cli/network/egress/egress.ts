import { addAbortListener } from 'node:events';
import { DialError } from '../dial-error.ts';
import type { Egress, LookedUp, Outgoing, Resolver, UdpFlow } from '../types.ts';
import { type AgentWay, checkDestination, dialError, dialThroughAgent } from './agent-dial.ts';
import { dialFromLaptop } from './laptop-dial.ts';
import { addressLiteral, type EgressPolicy, isLocalhost, type Way, wayOfAddress, wayOfFound } from './policy.ts';
import { openAgentFlow, openLaptopFlow, openLaterFlow } from './udp-flows.ts';

/** Flows of datagrams at once; each is a stream of the tunnel or a socket of the laptop. */
const MAX_UDP_FLOWS = 1024;
/** Addresses of one name that are tried, one after the other. */
const MAX_ADDRESSES = 8;
/** An address that does not answer holds the next one up for this long. */
const NEXT_ADDRESS_MS = 10_000;

export interface EgressOptions extends AgentWay {
  readonly resolver: Pick<Resolver, 'lookup'>;
  /** Asked for each connection: what it holds may change while the session lives. */
  readonly policy: EgressPolicy;
}

/** The ways out of one session. Names are looked up as the pod does, then each address goes its way. */
export function createEgress(options: EgressOptions): Egress {
  const { policy } = options;
  let udpFlows = 0;

  const dialBy = (way: Way, host: string, port: number, signal: AbortSignal): Promise<Outgoing> =>
    way === 'pod' ? dialThroughAgent(options, host, port, signal) : dialFromLaptop(host, port, signal);

  const flowBy = (way: Way, host: string, port: number): UdpFlow =>
    way === 'pod' ? openAgentFlow(options, host, port) : openLaptopFlow(host, port);

  const addressesOf = async (name: string, port: number): Promise<readonly LookedUp[]> => {
    const found = await options.resolver.lookup(name, 0);
    if (found.length === 0) throw dialError('ENOTFOUND', name, port, new Error('no such name'));
    return found.slice(0, MAX_ADDRESSES);
  };

  const wayOf = (name: string, found: LookedUp): Way => wayOfFound(name, found, policy);

  const dialName = async (name: string, port: number, signal: AbortSignal): Promise<Outgoing> => {
    const found = await untilAborted(addressesOf(name, port), signal);
    let failure: unknown;
    for (const [index, entry] of found.entries()) {
      const last = index === found.length - 1;
      const patience = last ? signal : AbortSignal.any([signal, AbortSignal.timeout(NEXT_ADDRESS_MS)]);
      try {
        return await dialBy(wayOf(name, entry), entry.address, port, patience);
      } catch (error) {
        signal.throwIfAborted();
        const timedOut = !(error instanceof DialError);
        failure = timedOut ? dialError('ETIMEDOUT', entry.address, port, error) : error;
      }
    }
    throw failure;
  };

  return {
    async dialTcp(host, port, signal) {
      checkDestination(host, port);
      signal.throwIfAborted();
      const literal = addressLiteral(host);
      if (literal !== undefined) return await dialBy(wayOfAddress(literal, policy), literal, port, signal);
      if (isLocalhost(host)) return await dialFromLaptop(host, port, signal);
      return await dialName(host, port, signal);
    },

    openUdp(host, port) {
      checkDestination(host, port);
      if (udpFlows >= MAX_UDP_FLOWS)
        throw dialError('EMFILE', host, port, new Error(`${MAX_UDP_FLOWS} flows are open`));
      const literal = addressLiteral(host);
      let flow: UdpFlow;
      if (literal !== undefined) flow = flowBy(wayOfAddress(literal, policy), literal, port);
      else if (isLocalhost(host)) flow = openLaptopFlow(host, port);
      else {
        flow = openLaterFlow(async () => {
          const [first] = await addressesOf(host, port);
          if (first === undefined) throw dialError('ENOTFOUND', host, port, undefined);
          return flowBy(wayOf(host, first), first.address, port);
        });
      }
      udpFlows += 1;
      return counted(flow, () => {
        udpFlows -= 1;
      });
    },
  };
}

/** A flow that says once that it is over. */
function counted(flow: UdpFlow, onOver: () => void): UdpFlow {
  let over = false;
  const end = (): void => {
    if (!over) onOver();
    over = true;
  };
  const outer: UdpFlow = {
    send: (datagram) => flow.send(datagram),
    onMessage: undefined,
    onClose: undefined,
    close: () => {
      end();
      flow.close();
    },
  };
  flow.onMessage = (datagram) => outer.onMessage?.(datagram);
  flow.onClose = () => {
    end();
    outer.onClose?.();
  };
  return outer;
}

async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const listener = addAbortListener(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(() => listener[Symbol.dispose]());
  });
}
