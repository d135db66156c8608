import { createSocket } from 'node:dgram';
import { connect, isIP } from 'node:net';
import { decode, encode, type Question, RECURSION_DESIRED } from 'dns-packet';
import { AddressRanges } from '../../../../cli/network/egress/address-ranges.ts';
import { createEgress } from '../../../../cli/network/egress/egress.ts';
import { HostGlobs } from '../../../../cli/network/egress/host-globs.ts';
import type { Egress, LookedUp, Resolver } from '../../../../cli/network/types.ts';
import { Mux, type MuxStream } from '../../../../src/mux/mux.ts';
import { LengthPrefixReader, withLength } from '../../../../src/net/length-prefix.ts';
import { splice } from '../../../../src/net/splice.ts';
import type { ResetReason } from '../../../../src/protocol/frames.ts';
import { MemoryTransport } from '../../../support/memory-transport.ts';
import { until } from '../../../support/until.ts';

/** In the double's cluster every port of this address is the same port of the test's 127.0.0.1. */
export const API_ADDRESS = '10.96.0.10';
export const API_ADDRESS_6 = 'fd00:96::10';
const NAMES: Readonly<Record<string, string>> = {
  api: API_ADDRESS,
  'api.shop.svc.cluster.local': API_ADDRESS,
  six: API_ADDRESS_6,
  refused: '10.96.0.11',
  unreachable: '10.96.0.12',
  slow: '10.96.0.13',
};
const REFUSALS: Readonly<Record<string, ResetReason>> = {
  '10.96.0.11': 'refused',
  '10.96.0.12': 'unreachable',
  '10.96.0.13': 'timeout',
};

export interface PodDouble {
  readonly egress: Egress;
  readonly resolver: Resolver;
  /** What the session opened, `tcp 10.96.0.10:80`. */
  readonly opened: string[];
  readonly session: Mux;
  close(): Promise<void>;
}

/** The real Egress over a real Mux, and in the place of the pod a few addresses that lead to the test's own servers. */
export async function startPodDouble(): Promise<PodDouble> {
  const [near, far] = MemoryTransport.pair();
  const opened: string[] = [];
  const session = new Mux(near, { side: 'session', onOpen: (stream) => stream.refuse('refused'), onControl: () => {} });
  const pod = new Mux(far, {
    side: 'agent',
    onControl: () => {},
    onOpen: (stream, info) => {
      opened.push(`${info.kind} ${info.host}:${info.port}`);
      const refusal = REFUSALS[info.host];
      if (refusal !== undefined) stream.refuse(refusal);
      else if (info.host !== API_ADDRESS && info.host !== API_ADDRESS_6) stream.refuse('not-found');
      else if (info.kind === 'udp') serveUdp(stream, info.port);
      else serveTcp(stream, info.port);
    },
  });
  const resolver: Resolver = {
    search: ['shop.svc.cluster.local'],
    ndots: 5,
    lookup: async (name, family) => addressesOf(name).filter((entry) => family === 0 || entry.family === family),
    originOf: () => undefined,
    answer: async (message) => {
      const read = readQuestion(message);
      if (read === undefined) return Buffer.alloc(0);
      const { id, questions } = read;
      const [question] = questions;
      const found =
        question === undefined ? [] : addressesOf(question.name).filter((entry) => typeOf(entry) === question.type);
      const answers = found.map((entry) => ({
        name: question?.name ?? '',
        type: typeOf(entry),
        ttl: 30,
        data: entry.address,
      }));
      const rcode = question !== undefined && addressesOf(question.name).length > 0 ? 0 : 3;
      return encode({ id, type: 'response', flags: RECURSION_DESIRED | rcode, questions, answers });
    },
  };
  const tunnel = { mux: session };
  const egress = createEgress({
    tunnel: () => tunnel,
    untilTunnel: async () => {},
    resolver,
    policy: {
      egress: 'pod',
      localHosts: new HostGlobs([]),
      localRanges: new AddressRanges([]),
      clusterRanges: new AddressRanges([]),
      isClusterName: () => false,
      originOf: () => undefined,
    },
  });
  const close = async (): Promise<void> => {
    await until(() => session.stats().openStreams === 0, 'every stream is over');
    await Promise.all([session.close(), pod.close()]);
  };
  return { egress, resolver, opened, session, close };
}

function addressesOf(name: string): LookedUp[] {
  const address = NAMES[name.toLowerCase().replace(/\.$/, '')];
  return address === undefined ? [] : [{ address, family: isIP(address) === 6 ? 6 : 4, origin: 'cluster' }];
}

function typeOf({ family }: LookedUp): 'A' | 'AAAA' {
  return family === 6 ? 'AAAA' : 'A';
}

function serveTcp(stream: MuxStream, port: number): void {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.once('error', () => stream.refuse('refused'));
  socket.once('connect', () => {
    stream.accept();
    void splice(stream, socket, new AbortController().signal).catch(() => {}); // resets are part of some tests
  });
}

function serveUdp(stream: MuxStream, port: number): void {
  stream.accept();
  const socket = createSocket('udp4');
  const reader = new LengthPrefixReader();
  socket.on('message', (datagram) => stream.write(withLength(datagram)));
  stream.on('data', (chunk: Buffer) => {
    for (const datagram of reader.push(chunk)) socket.send(datagram, port, '127.0.0.1');
  });
  stream.once('close', () => socket.close());
}

function readQuestion(message: Buffer): { id: number; questions: Question[] } | undefined {
  try {
    const { id = 0, questions = [] } = decode(message);
    return { id, questions };
  } catch {
    return undefined; // garbage, which the real one answers with nothing, too
  }
}
