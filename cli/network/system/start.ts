import { clusterDomain } from '../../../src/dns/names.ts';
import { errorText, InterceptorError, systemErrorCode } from '../../../src/errors.ts';
import { DnsServer } from '../dns/server.ts';
import { AddressBook, DNS_ADDRESSES } from './addresses.ts';
import { serversBefore } from './before.ts';
import { type Following, followServices } from './follow.ts';
import { SystemGuardian } from './guardian.ts';
import { Journal } from './journal.ts';
import { journalFolder } from './journal-file.ts';
import { apiServerAddresses, interfaceAddresses } from './local-addresses.ts';
import { planAlias } from './plan-macos.ts';
import { ServiceTable } from './service-table.ts';
import { Standings } from './standings.ts';
import { SystemResolver } from './system-resolver.ts';
import type { SystemMode, SystemModeOptions } from './types.ts';
import { type Wiring, wireResolver } from './wiring.ts';
import { resolverWish } from './wish.ts';

const DNS_PORT = 53;
const RESOLV_CONF = '/etc/resolv.conf';

/**
 * Puts the whole laptop inside the cluster: a DNS server and an address of its own for every Service. What it changes on the
 * laptop is in a journal first, and a guardian undoes it when this process is killed.
 * @throws InterceptorError LAPTOP_IN_USE, LAPTOP_PORT_TAKEN
 */
export async function startSystemMode(options: SystemModeOptions): Promise<SystemMode> {
  const running = new Running(options);
  try {
    return await running.start();
  } catch (error) {
    await running
      .close()
      .catch((failure: unknown) => options.log.warn('not all put back', { reason: errorText(failure) }));
    throw error;
  }
}

class Running {
  readonly #options: SystemModeOptions;
  readonly #ended = new AbortController();
  #journal: Journal | undefined;
  #guardian: SystemGuardian | undefined;
  #dns: DnsServer | undefined;
  #standings: Standings | undefined;
  #wiring: Wiring | undefined;
  #following: Following | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: SystemModeOptions) {
    this.#options = options;
  }

  async start(): Promise<SystemMode> {
    const { client, namespace, podNetwork, log, report, resolver, egress } = this.#options;
    const warn = (message: string): void => report({ event: 'warning', message });
    const folder = journalFolder();
    const journal = await Journal.open(folder, this.#options.title);
    this.#journal = journal;
    this.#guardian = SystemGuardian.start({ folder, journalId: journal.id, resolvConf: RESOLV_CONF });

    const table = new ServiceTable(new AddressBook(interfaceAddresses()));
    // The laptop's own nameservers, too: a cluster's range may hold their addresses.
    const nameservers = (await serversBefore()).map(({ host }) => host);
    const never = new Set([...(await apiServerAddresses(client)), ...nameservers]);
    const standings = new Standings({
      table,
      egress,
      journal,
      log,
      warn,
      never,
      onNamespaces: () => this.#retell(table),
    });
    this.#standings = standings;
    const signal = AbortSignal.any([this.#options.signal, this.#ended.signal]);
    const onChange = (): void => standings.changed();
    this.#following = await followServices({ client, namespace, table, log, signal, onChange });
    const { scope } = this.#following;
    if (scope === 'none')
      warn('the Services cannot be listed with these rights: each is found when it is asked for by name');
    await standings.settle();

    const systemResolver = new SystemResolver({
      resolver,
      table,
      domain: clusterDomain(podNetwork.search),
      search: podNetwork.search,
      isWatched: (other) => scope === 'all' || (scope === 'namespace' && other === namespace),
      onLearned: async (service, found) => {
        table.learn(service, found);
        await standings.settle();
      },
    });
    this.#dns = new DnsServer({ resolver: systemResolver });
    const dnsAddress = await this.#listen(this.#dns, journal);
    const wish = resolverWish(dnsAddress, podNetwork.search, table.namespaces());
    this.#wiring = await wireResolver({ journal, wish, resolvConf: RESOLV_CONF, log, warn });
    const facts = { dnsAddress, resolverBy: this.#wiring.by, services: table.services, allNamespaces: scope === 'all' };
    this.#facts = facts;
    return { facts, close: () => this.close() };
  }

  #facts: SystemMode['facts'] | undefined;

  async #listen(server: DnsServer, journal: Journal): Promise<string> {
    for (const address of DNS_ADDRESSES) {
      if (process.platform === 'darwin') await journal.make(planAlias(address));
      try {
        await server.listen(address, DNS_PORT);
        return address;
      } catch (error) {
        if (systemErrorCode(error) !== 'EADDRINUSE') throw error;
      }
    }
    throw new InterceptorError(
      'LAPTOP_PORT_TAKEN',
      'another DNS server on this laptop holds port 53 of all addresses',
      {
        hint: 'let it listen on its own addresses only (dnsmasq: bind-interfaces)',
      },
    );
  }

  /** The namespaces are among the domains our server is asked for. */
  #retell(table: ServiceTable): void {
    const address = this.#facts?.dnsAddress;
    if (address === undefined) return;
    const wish = resolverWish(address, this.#options.podNetwork.search, table.namespaces());
    void this.#wiring?.update(wish).catch((error: unknown) => {
      this.#options.log.warn('the resolver was not told of the namespaces', { reason: errorText(error) });
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#ended.abort(new Error('system mode ended'));
    this.#wiring?.close();
    await this.#following?.done;
    await this.#standings?.stop();
    // The laptop's resolver first: nobody is to ask a server that is gone.
    const undone = await this.#journal?.close();
    await this.#standings?.close();
    await this.#dns?.close();
    this.#guardian?.done();
    if (undone !== undefined && undone.failures.length > 0) {
      throw new InterceptorError(
        'RESTORE_INCOMPLETE',
        `not all is put back on this laptop: ${undone.failures.join('; ')}`,
      );
    }
  }
}
