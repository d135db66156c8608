import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import type { KubeClient } from '../../kube/client.ts';

/** Addresses this laptop has already. */
export function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map(({ address }) => address));
}

/** Where the session itself must get by the laptop's own way: never to be taken for the cluster. */
export async function apiServerAddresses(client: KubeClient): Promise<Set<string>> {
  const host = new URL(client.access.server).hostname.replace(/^\[|\]$/g, '');
  const found = await lookup(host, { all: true }).catch(() => []); // behind a proxy that knows the name
  return new Set(found.map(({ address }) => address));
}
