import { InterceptorError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { ControlMessage } from '../protocol/control.ts';
import type { OpenKind } from '../protocol/frames.ts';
import type { MuxLimits } from './limits.ts';
import type { MuxStream } from './stream.ts';
import type { Transport } from './transport.ts';

/** incoming: agent→session, a caller (host) of app port `port`. tcp: session→agent, dial host:port. */
export interface OpenInfo {
  readonly kind: OpenKind;
  readonly port: number;
  readonly host: string;
}

export interface MuxOptions {
  readonly side: 'session' | 'agent';
  readonly onOpen: (stream: MuxStream, info: OpenInfo) => void;
  readonly onControl: (message: ControlMessage) => void;
  readonly log?: Log;
  readonly limits?: Partial<MuxLimits>;
}

export interface MuxStats {
  readonly openStreams: number;
  readonly queuedBytes: number;
  readonly timers: number;
}

/** ROUGH: the public shape; the working body follows in the next commits. */
export class Mux {
  roundTripMs: number | undefined;
  readonly closed: Promise<Error | undefined>;
  readonly #transport: Transport;

  constructor(transport: Transport, _options: MuxOptions) {
    this.#transport = transport;
    this.closed = new Promise(() => {});
  }

  /** @throws InterceptorError STREAM_LIMIT, TUNNEL_LOST */
  open(_info: OpenInfo): MuxStream {
    throw new InterceptorError('STREAM_LIMIT', 'not written yet');
  }

  sendControl(_message: ControlMessage): void {}

  stats(): MuxStats {
    return { openStreams: 0, queuedBytes: 0, timers: 0 };
  }

  async close(): Promise<void> {
    this.#transport.close();
  }
}
