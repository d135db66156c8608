import { randomBytes } from 'node:crypto';
import { agentHandshake, sessionHandshake } from '../../../../src/mux/handshake.ts';
import type { LinkLimits } from '../../../../src/mux/limits.ts';
import { Link } from '../../../../src/mux/link.ts';
import type { Transport } from '../../../../src/mux/transport.ts';
import { MemoryTransport } from '../../../support/memory-transport.ts';

const key = randomBytes(32);
const DEADLINE_MS = 10_000;

export interface LineOptions {
  readonly resumeForMs?: number;
  readonly limits?: Partial<LinkLimits>;
  /** Makes the two ends of the next carrier; memory where nothing is said. */
  readonly carriers?: () => Promise<{ readonly session: Transport; readonly agent: Transport }>;
  /** Dial anew as soon as the session's end has lost its carrier. */
  readonly redials?: boolean;
}

/** Both ends of one link, dialled and accepted as session and agent do it. */
export class Line {
  readonly session: Link;
  readonly agent: Link;
  /** Carriers that both ends went on with. */
  carriers = 0;
  readonly lost: string[] = [];
  #carrier: { readonly session: Transport; readonly agent: Transport } | undefined;
  readonly #options: LineOptions;
  #dialling: Promise<void> | undefined;
  #isOver = false;

  constructor(options: LineOptions = {}) {
    this.#options = options;
    const { resumeForMs = 30_000, limits = {} } = options;
    this.session = new Link({ resumeForMs, limits, onDetached: (reason) => this.#lost(reason) });
    this.agent = new Link({ id: this.session.id, resumeForMs, limits });
  }

  /** Brings a carrier in place of the one there is; again, until one stands. */
  async dial(): Promise<void> {
    this.#dialling ??= this.#dial().finally(() => {
      this.#dialling = undefined;
    });
    await this.#dialling;
  }

  /** Cuts the present carrier between the two ends. */
  cut(): void {
    const end = this.#carrier?.session;
    if (end instanceof MemoryTransport) end.breakWire();
    else end?.terminate();
  }

  /** What one end sends vanishes from now on, and nobody is told. */
  stall(side: 'session' | 'agent'): void {
    const end = this.#carrier?.[side];
    if (end instanceof MemoryTransport) end.stall();
  }

  close(): void {
    this.#isOver = true;
    this.session.terminate();
    this.agent.terminate();
  }

  async #dial(): Promise<void> {
    while (!this.#isOver) {
      this.session.lose(new Error('dialled anew'));
      const carrier = await (this.#options.carriers ?? memoryCarriers)();
      try {
        await this.#shakeHands(carrier);
        return;
      } catch {
        carrier.session.terminate(); // cut in its handshake: the next one may get further
      }
    }
  }

  async #shakeHands(carrier: { readonly session: Transport; readonly agent: Transport }): Promise<void> {
    const identity = { sessionId: 's1', user: 'ada', host: 'laptop' };
    const findLink = (): Link | undefined => (this.agent.begun ? this.agent : undefined);
    const accepted = agentHandshake(carrier.agent, { key, pod: 'web-1', deadlineMs: DEADLINE_MS, findLink }).then(
      ({ transport, at, resumed }) => (resumed ?? this.agent).attach(transport, at),
    );
    accepted.catch(() => {}); // the session's end tells
    const dialled = { key, session: identity, link: this.session, deadlineMs: DEADLINE_MS };
    const { transport, at } = await sessionHandshake(carrier.session, dialled);
    this.session.attach(transport, at);
    this.#carrier = carrier;
    this.carriers += 1;
  }

  #lost(reason: Error): void {
    this.lost.push(reason.message);
    if (this.#options.redials === true && !this.#isOver) setImmediate(() => void this.dial());
  }
}

export async function memoryCarriers(): Promise<{ session: MemoryTransport; agent: MemoryTransport }> {
  const [session, agent] = MemoryTransport.pair();
  return { session, agent };
}

/** Carriers in memory of which each breaks once `messagesUntilCut()` messages have been sent by either end. */
export function fragileCarriers(messagesUntilCut: () => number): typeof memoryCarriers {
  return async () => {
    const carrier = await memoryCarriers();
    let left = messagesUntilCut();
    for (const end of [carrier.session, carrier.agent]) {
      const send = end.send.bind(end);
      end.send = (message) => {
        send(message);
        left -= 1;
        if (left === 0) end.breakWire();
      };
    }
    return carrier;
  };
}

/** No frame of a link begins with it; a number follows. */
export const numbered = (n: number, bytes = 0): Buffer => {
  const message = Buffer.alloc(5 + bytes, n % 251);
  message[0] = 3;
  message.writeUInt32BE(n, 1);
  return message;
};
export const numbersOf = (link: Link): number[] => {
  const got: number[] = [];
  link.onMessage = (message) => {
    const n = Buffer.from(message).readUInt32BE(1);
    const untouched = message.subarray(5).every((byte) => byte === n % 251);
    got.push(untouched ? n : -1);
  };
  return got;
};
export const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};
