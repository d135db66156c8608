import { isIP } from 'node:net';
import { isRecord } from '../../../src/is-record.ts';
import {
  isForbidden,
  isNotFound,
  type KubeClient,
  type KubeObject,
  KubeStatusError,
  resourcePath,
} from '../../kube/client.ts';
import { parseCidr } from './address-ranges.ts';

/** No Service range holds them: asked for, the API server refuses and names its range. */
const OUT_OF_RANGE = [
  { clusterIP: '0.0.0.1', ipFamilies: ['IPv4'] },
  { clusterIP: '::1', ipFamilies: ['IPv6'] },
] as const;
/** Guesses around one address. The usual Service ranges are /12 to /20 and, for IPv6, /108 at most. */
const SERVICE_GUESS = { 4: 16, 6: 108 } as const;
/** Nodes get a /24 or a /64 of the pods' range each. */
const POD_GUESS = { 4: 16, 6: 64 } as const;

export interface ClusterRangesQuestion {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Addresses of pods, the agents' own to begin with. */
  readonly podAddresses: readonly string[];
  /** ClusterIPs known otherwise: KUBERNETES_SERVICE_HOST of the app. */
  readonly serviceAddresses: readonly string[];
  readonly signal: AbortSignal;
}

/**
 * The CIDRs of the cluster's Services and pods, as far as a user with `edit` in one namespace can tell.
 * @returns never none where an address is known; too wide rather than too narrow where it had to be guessed
 */
export async function findClusterRanges(question: ClusterRangesQuestion): Promise<readonly string[]> {
  const told = await serviceRanges(question);
  const objects = told.length > 0 ? [] : await services(question);
  const guessed = [...objects.flatMap(clusterIPs), ...(told.length > 0 ? [] : question.serviceAddresses)];
  return [
    ...told,
    ...coveringRanges(guessed, SERVICE_GUESS),
    ...coveringRanges(question.podAddresses, POD_GUESS),
  ].filter(once);
}

/**
 * Reads the ranges out of a refusal: "The range of valid IPs is 10.96.0.0/12".
 * @returns none where the text names none (Kubernetes on EKS does not)
 */
export function rangesInRefusal(message: string): string[] {
  const found = [...message.matchAll(/range of valid IPs is ([0-9a-f.:]+\/\d{1,3})/gi)].flatMap(
    (match) => match[1] ?? [],
  );
  return found.filter(isCidr);
}

/** The networks of the given prefix lengths around each address, each once. */
export function coveringRanges(
  addresses: readonly string[],
  prefix: { readonly 4: number; readonly 6: number },
): string[] {
  return addresses
    .flatMap((address) => {
      const version = isIP(address);
      if (version === 4) return [`${maskV4(address, prefix[4])}/${prefix[4]}`];
      return version === 6 ? [`${maskV6(address, prefix[6])}/${prefix[6]}`] : [];
    })
    .filter(once);
}

/**
 * A dry run of a Service that cannot be. Kubernetes before 1.24 checks no address in a dry run and says yes: then, and
 * where the user may create no Services, there is no answer. Nothing is ever stored.
 */
async function serviceRanges({ client, namespace, signal }: ClusterRangesQuestion): Promise<string[]> {
  const path = resourcePath({ apiVersion: 'v1', resource: 'services', namespace });
  const answers = OUT_OF_RANGE.map(async ({ clusterIP, ipFamilies }) => {
    const metadata = { generateName: 'kube-intercept-range-', namespace };
    const spec = { clusterIP, ipFamilies, ports: [{ port: 443 }] };
    try {
      await client.create(path, { apiVersion: 'v1', kind: 'Service', metadata, spec }, { dryRun: true, signal });
    } catch (error) {
      if (!(error instanceof KubeStatusError)) throw error;
      return rangesInRefusal(error.serverMessage);
    }
    return [];
  });
  return (await Promise.all(answers)).flat().filter(once);
}

async function services({ client, namespace, signal }: ClusterRangesQuestion): Promise<readonly KubeObject[]> {
  try {
    return (await client.list(resourcePath({ apiVersion: 'v1', resource: 'services', namespace }), { signal })).items;
  } catch (error) {
    if (isForbidden(error) || isNotFound(error)) return [];
    throw error;
  }
}

function clusterIPs({ spec }: KubeObject): string[] {
  if (!isRecord(spec)) return [];
  const all: unknown[] = Array.isArray(spec.clusterIPs) ? spec.clusterIPs : [spec.clusterIP];
  return all.filter((address) => typeof address === 'string').filter((address) => isIP(address) !== 0); // 'None': headless
}

function isCidr(text: string): boolean {
  try {
    parseCidr(text);
    return true;
  } catch {
    return false; // USAGE_BAD_OPTION: something else stands there
  }
}

function maskV4(address: string, prefix: number): string {
  const value = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - prefix);
  const base = Math.floor(value / size) * size;
  return [24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256).join('.');
}

function maskV6(address: string, prefix: number): string {
  const [head = '', tail] = expandV4(address).split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const missing = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: missing }, () => '0'), ...groups(tail ?? '')];
  return all
    .map((group, index) => {
      const kept = Math.min(16, Math.max(0, prefix - index * 16));
      return (Number.parseInt(group, 16) & (0xffff << (16 - kept)) & 0xffff).toString(16);
    })
    .join(':');
}

/** `::ffff:10.1.2.3` with its last four bytes in groups. */
function expandV4(address: string): string {
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
}

function once<T>(value: T, index: number, all: readonly T[]): boolean {
  return all.indexOf(value) === index;
}
