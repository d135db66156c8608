import type { UdpFlow } from '../types.ts';

/** Where the flows seem to come from inside: nobody else has it, so answers to it are theirs. */
const CLIENT_ADDRESS = { 4: '127.127.0.2', 6: '::1' } as const;
const FIRST_PORT = 1_024;
const LAST_PORT = 65_535;
const MAX_FLOWS = 4_096;

/** Peers of the command's UDP sockets, each with an address and port of its own inside. */
export class InnerFlows {
  readonly #inject: (flow: readonly string[], datagram: Buffer) => void;
  /** By `<port of the command> <port of the peer>`. */
  readonly #flows = new Map<string, UdpFlow>();
  #nextPort = FIRST_PORT;

  /** @param inject puts a datagram on the inner loopback device, as sent from the flow's source */
  constructor(inject: (flow: readonly string[], datagram: Buffer) => void) {
    this.#inject = inject;
  }

  /**
   * @param inside the address that the command's socket is reached at
   * @throws Error EMFILE
   */
  open(inside: string, port: number): UdpFlow {
    const peer = this.#freePort(port);
    if (peer === undefined) throw Object.assign(new Error('too many UDP flows to the command'), { code: 'EMFILE' });
    const key = `${port} ${peer}`;
    const source = CLIENT_ADDRESS[inside.includes(':') ? 6 : 4];
    const flow: UdpFlow = {
      send: (datagram) => this.#inject([source, String(peer), inside, String(port)], datagram),
      onMessage: undefined,
      onClose: undefined,
      close: () => {
        if (this.#flows.get(key) === flow) this.#flows.delete(key);
      },
    };
    this.#flows.set(key, flow);
    return flow;
  }

  /** @returns whether the datagram is an answer to one of these peers; then it was given to it */
  onDatagram([, sourcePort, target, targetPort]: readonly string[], payload: Buffer): boolean {
    if (target !== CLIENT_ADDRESS[4] && target !== CLIENT_ADDRESS[6]) return false;
    const flow = this.#flows.get(`${sourcePort} ${targetPort}`);
    flow?.onMessage?.(Buffer.from(payload)); // a copy: the frame's bytes are reused
    return flow !== undefined;
  }

  /** The command's network is gone. */
  close(): void {
    const flows = [...this.#flows.values()];
    this.#flows.clear();
    for (const flow of flows) flow.onClose?.();
  }

  #freePort(port: number): number | undefined {
    if (this.#flows.size >= MAX_FLOWS) return undefined;
    for (;;) {
      const peer = this.#nextPort;
      this.#nextPort = peer === LAST_PORT ? FIRST_PORT : peer + 1;
      if (!this.#flows.has(`${port} ${peer}`)) return peer;
    }
  }
}
