import { AbortGroup } from '../../src/abort-group.ts';
import type { Log } from '../../src/log.ts';
import type { MuxStream } from '../../src/mux/mux.ts';
import { MAX_OPEN_FILES, MAX_OUTGOING } from '../limits.ts';
import { RESOLV_CONF } from '../pod-network.ts';
import { POD_VOLUME_PLACES, readVolumeRoots, type VolumePlaces } from '../volumes/roots.ts';
import { serveDns } from './dns.ts';
import { DnsClient } from './dns-client.ts';
import { serveFile } from './file.ts';
import { type Lookup, podLookup } from './lookup.ts';
import { Shares } from './shares.ts';
import { serveTcp } from './tcp.ts';
import { serveUdp } from './udp.ts';

/** What tests put in place of the pod's. */
export interface OutgoingOptions {
  readonly log: Log;
  readonly resolvConf?: string | undefined;
  readonly hostsFile?: string | undefined;
  readonly dnsPort?: number | undefined;
  readonly dnsDeadlineMs?: number | undefined;
  readonly connectTimeoutMs?: number | undefined;
  readonly udpIdleMs?: number | undefined;
  readonly maxStreams?: number | undefined;
  readonly volumePlaces?: VolumePlaces | undefined;
}

/**
 * What sessions open in the pod: connections, datagrams, DNS questions and files. A stream's end by its tunnel ends what it
 * stands for.
 */
export class Outgoing {
  readonly #options: OutgoingOptions;
  readonly #dns: DnsClient;
  readonly #hostsFile: string;
  readonly #shares: Shares;
  readonly #running = new Set<Promise<void>>();
  readonly #connections = new AbortGroup();
  readonly #waitingFiles: (() => void)[] = [];
  #openFiles = 0;
  #limitLogged = false;

  constructor(options: OutgoingOptions) {
    const { resolvConf = RESOLV_CONF, hostsFile = '/etc/hosts', dnsPort, dnsDeadlineMs } = options;
    this.#options = options;
    this.#dns = new DnsClient({
      resolvConf,
      ...(dnsPort === undefined ? {} : { port: dnsPort }),
      ...(dnsDeadlineMs === undefined ? {} : { deadlineMs: dnsDeadlineMs }),
    });
    this.#hostsFile = hostsFile;
    this.#shares = new Shares(options.maxStreams ?? MAX_OUTGOING);
  }

  /** Streams being served. */
  get count(): number {
    return this.#running.size;
  }

  /**
   * Takes over a stream that a session opened: accepts or refuses it, now or later.
   * @param owner of the stream: what it takes is counted as this tunnel's
   */
  serve(stream: MuxStream, owner: object): void {
    const giveBack = this.#shares.take(owner);
    if (giveBack === undefined) {
      if (!this.#limitLogged) this.#options.log.warn('too many outgoing connections, new ones are refused');
      this.#limitLogged = true;
      stream.refuse('limit');
      return;
    }
    const served = this.#serve(stream, owner).catch((failure: unknown) => {
      this.#options.log.error('outgoing stream failed', { kind: stream.info.kind, reason: String(failure) });
      stream.resetAndDestroy();
    });
    this.#running.add(served);
    void served.finally(() => {
      giveBack();
      this.#running.delete(served);
      if (this.#running.size === 0) this.#limitLogged = false;
    });
  }

  /** Resets what is still under way and waits for it. The tunnels are closed by then. */
  async close(): Promise<void> {
    this.#connections.abort(new Error('the agent ends'));
    this.#dns.close();
    await Promise.all(this.#running);
  }

  async #serve(stream: MuxStream, owner: object): Promise<void> {
    const { kind } = stream.info;
    const { connectTimeoutMs, udpIdleMs, volumePlaces = POD_VOLUME_PLACES } = this.#options;
    const lookup: Lookup = podLookup(this.#dns, this.#hostsFile, owner);
    switch (kind) {
      case 'tcp':
        return await this.#connections.run((signal) => serveTcp(stream, lookup, signal, connectTimeoutMs));
      case 'udp':
        return await serveUdp(stream, lookup, udpIdleMs);
      case 'dns':
        return await serveDns(stream, this.#dns, owner);
      case 'file':
        return await serveFile(
          stream,
          () => readVolumeRoots(volumePlaces),
          () => this.#fileTurn(),
        );
      case 'incoming':
      case 'datagrams':
        stream.refuse('refused'); // opened by agents only
        return;
      default:
        kind satisfies never;
    }
  }

  /** A session may ask for a thousand files at once; each open one takes a descriptor and a buffer. */
  async #fileTurn(): Promise<() => void> {
    if (this.#openFiles < MAX_OPEN_FILES) this.#openFiles += 1;
    else await new Promise<void>((resolve) => this.#waitingFiles.push(resolve)); // gets the place of one that is done
    return () => {
      const next = this.#waitingFiles.shift();
      if (next === undefined) this.#openFiles -= 1;
      else next();
    };
  }
}
