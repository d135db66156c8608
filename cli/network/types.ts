// What the parts of cli/network share: how the process reaches what the app reaches (DESIGN section 6).
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** A connection out of the pod or out of the laptop: half-open, and able to tell its peer of a failure. */
export interface Outgoing extends Duplex {
  resetAndDestroy(): unknown;
}

/** Why a connection was not made, in the words of connect(2) and getaddrinfo(3). */
export type DialCode = 'ECONNREFUSED' | 'EHOSTUNREACH' | 'ETIMEDOUT' | 'ENOTFOUND' | 'EMFILE' | 'ECONNRESET';

/** Datagrams to one address and port, and what comes back from there. */
export interface UdpFlow {
  /** Sends one datagram; dropped where there is no room, as a network does. */
  send(datagram: Buffer): void;
  onMessage: ((datagram: Buffer) => void) | undefined;
  /** Once. The other end is unreachable, the flow was idle for long, or the tunnel is gone. */
  onClose: (() => void) | undefined;
  close(): void;
}

/** The ways out. Chooses between pod and laptop by `--egress` and what the resolver has learned. */
export interface Egress {
  /**
   * @param host a name or an address literal
   * @returns once connected
   * @throws DialError
   */
  dialTcp(host: string, port: number, signal: AbortSignal): Promise<Outgoing>;
  /** @throws DialError when there is no way or no room */
  openUdp(host: string, port: number): UdpFlow;
}

export interface LookedUp {
  readonly address: string;
  readonly family: 4 | 6;
  /** Who knew the name; addresses that only the laptop knew are dialled from the laptop. */
  readonly origin: 'cluster' | 'laptop';
}

/** Names as the pod knows them, and the laptop's own. */
export interface Resolver {
  /** For the resolv.conf of those who ask by themselves. */
  readonly search: readonly string[];
  readonly ndots: number;
  /**
   * Answers a DNS message. Never rejects: SERVFAIL, FORMERR or an empty buffer (what is no question) instead.
   * @param via decides about truncation
   */
  answer(message: Buffer, via: 'udp' | 'tcp'): Promise<Buffer>;
  /**
   * Addresses of a name, by the pod's search list (as getaddrinfo would in the pod), else the laptop's.
   * @param family 0 for both
   * @returns none when the name does not exist
   * @throws DialError ETIMEDOUT: nobody said yes, and somebody who should know did not answer
   */
  lookup(name: string, family: 0 | 4 | 6): Promise<readonly LookedUp[]>;
  /** Who an address was learned from, while the answer that told it may still be in use. */
  originOf(address: string): 'cluster' | 'laptop' | undefined;
}

/** The ports of a command whose loopback device is not the laptop's. */
export interface InnerPorts {
  /**
   * Whether the command listens on 127.0.0.1 or ::1 there, or on all addresses (UDP: has a socket bound to the port); at most a
   * quarter of a second old.
   */
  listensOn(port: number, protocol: 'tcp' | 'udp'): boolean;
  /** @throws Error with the code of connect(2) */
  connect(port: number): Promise<Socket>;
  /**
   * A peer of the command's UDP socket with an address of its own.
   * @throws Error ECONNREFUSED: no socket is bound to the port; EMFILE
   */
  openUdp(port: number): UdpFlow;
  /** Whether what listens at this address of the laptop is ours, and leads inside. */
  mirrors(address: string, port: number, protocol: 'tcp' | 'udp'): boolean;
}

/** How the command gets to be inside: what is added to its environment and in front of its argv. */
export interface Inside {
  readonly mode: 'namespace' | 'proxy' | 'none';
  /** Set over the pod's variables, under the user's `--env`. */
  readonly variables: Readonly<Record<string, string>>;
  /** Undefined: the command listens on the laptop. */
  readonly ports?: InnerPorts;
  /**
   * The argv that runs `argv` inside, in `cwd`, by exec (the pid stays the command's).
   * @throws InterceptorError COMMAND_NOT_FOUND
   */
  wrap(argv: readonly string[], cwd: string): readonly string[];
  /** Leaves nothing: no process, mount, socket or file. */
  close(): Promise<void>;
}
