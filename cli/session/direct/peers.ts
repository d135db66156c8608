import { canonicalAddress } from '../../../src/dns/addresses.ts';
import { compileFilter } from '../../../src/http/filters/match.ts';
import { parseFilter } from '../../../src/http/filters/parse.ts';
import type { Log } from '../../../src/log.ts';
import type { DirectTarget, DirectTargets } from '../../network/egress/direct.ts';
import { addressLiteral } from '../../network/egress/policy.ts';
import { readSessionRecords, type SessionRecord } from '../state-files.ts';
import { type NameScope, serviceOfName } from './names.ts';
import { PeerTunnels } from './tunnels.ts';

/** How long records are taken as they were read: a new session is found so much later. */
const RECORDS_MS = 500;

export interface PeersOptions extends NameScope {
  /** clusterIdentity() of this session: records of other clusters are left out. */
  readonly cluster: string;
  readonly log: Log;
}

/** The sessions of this user in this cluster, this one among them, whose processes can be called directly. */
export class Peers implements DirectTargets {
  readonly #options: PeersOptions;
  readonly #tunnels: PeerTunnels;
  #records: Promise<readonly SessionRecord[]> | undefined;
  #readAtMs = 0;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#tunnels = new PeerTunnels(options.log);
  }

  /** Those that take what goes to a Service's port, told by a name or an address of it. Never rejects. */
  async find(host: string, port: number): Promise<readonly DirectTarget[]> {
    const literal = addressLiteral(host);
    const address = literal === undefined ? undefined : canonicalAddress(literal);
    const named = address === undefined ? serviceOfName(host, this.#options) : undefined;
    if (address === undefined && named === undefined) return [];
    const records = await this.#read();
    return records.flatMap((record) => {
      const services = (record.services ?? []).filter((service) =>
        address === undefined
          ? record.namespace === named?.namespace && service.name === named.name
          : service.addresses.includes(address),
      );
      const appPort = services.map((service) => appPortOf(record, service, port)).find((found) => found !== undefined);
      return appPort === undefined ? [] : this.#target(record, appPort);
    });
  }

  async close(): Promise<void> {
    await this.#tunnels.close();
  }

  #target({ sessionId, filter, direct, startedAtMs }: SessionRecord, appPort: number): DirectTarget[] {
    if (direct === undefined) return [];
    const { by, mark, socket } = direct;
    try {
      return [
        {
          id: sessionId,
          by,
          mark,
          order: startedAtMs,
          filter: filter === undefined ? undefined : compileFilter(parseFilter(filter)),
          open: (signal) => this.#tunnels.open(socket, appPort, signal),
        },
      ];
    } catch (error) {
      this.#options.log.debug('filter of another session not understood', { sessionId, reason: String(error) });
      return []; // of a newer version: its requests go through the cluster
    }
  }

  async #read(): Promise<readonly SessionRecord[]> {
    const now = Date.now();
    if (this.#records === undefined || now - this.#readAtMs >= RECORDS_MS) {
      this.#readAtMs = now;
      this.#records = readSessionRecords().then(
        (records) => records.filter((record) => record.direct?.cluster === this.#options.cluster && !record.mirror),
        () => [],
      );
    }
    return await this.#records;
  }
}

/** Behind the port of a Service; callers of a headless one use the app's own ports. */
function appPortOf(
  { ports }: SessionRecord,
  service: SessionRecord['services'][number],
  port: number,
): number | undefined {
  const own = ports.filter((report) => report.service === service.name && report.protocol === 'tcp');
  const found = own.find((report) => (service.addresses.length === 0 ? report.appPort : report.servicePort) === port);
  return found?.appPort;
}
