/** RFC 1035 §2.3.4. dns-packet 5.6.1 checks neither: a long label goes out as a compression pointer or a reserved type. */
export const MAX_LABEL_BYTES = 63;
/** In text, without the last dot (255 on the wire). */
export const MAX_NAME_BYTES = 253;

/** The domain of a cluster whose pods have no usual search list (dnsPolicy None or Default). */
const USUAL_CLUSTER_DOMAIN = 'cluster.local';

/** What is wrong with a name, for people; undefined when it may be asked for. One last dot is fine. */
export function nameFault(name: string): string | undefined {
  const text = withoutLastDot(name);
  if (text === '') return 'the name is empty';
  if (Buffer.byteLength(text) > MAX_NAME_BYTES) return `the name is longer than ${MAX_NAME_BYTES} bytes`;
  for (const label of text.split('.')) {
    if (label === '') return 'the name has an empty label';
    if (Buffer.byteLength(label) > MAX_LABEL_BYTES) return `a label is longer than ${MAX_LABEL_BYTES} bytes`;
  }
  return undefined;
}

export function withoutLastDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

/** Whether a name is a domain or below it; case and last dots do not matter, and `*.corp` and `.corp` mean `corp`. */
export function isUnder(name: string, suffix: string): boolean {
  const below = plain(name);
  const domain = plain(suffix).replace(/^\*?\./, '');
  return domain !== '' && (below === domain || below.endsWith(`.${domain}`));
}

/** The cluster's domain by a pod's search list: what follows `<namespace>.svc.`, else what all its domains end in. */
export function clusterDomain(search: readonly string[]): string {
  for (const domain of search) {
    const found = /^(?:[^.]+\.)?svc\.(.+)$/.exec(plain(domain))?.[1];
    if (found !== undefined) return found;
  }
  const [first = '', ...others] = search.map((domain) => plain(domain).split('.'));
  const labels = [...first];
  while (labels.length > 0 && !others.every((other) => isUnder(other.join('.'), labels.join('.')))) labels.shift();
  return others.length > 0 && labels.length > 1 ? labels.join('.') : USUAL_CLUSTER_DOMAIN;
}

/**
 * The names getaddrinfo asks for, in order (resolv.conf(5) `search`, `ndots`): a last dot means the name as it is, fewer
 * dots than `ndots` the search list first. What would be too long is left out; none where the name itself is faulty.
 * @returns names without the last dot
 */
export function searchCandidates(name: string, search: readonly string[], ndots: number): string[] {
  if (nameFault(name) !== undefined) return [];
  if (name.endsWith('.')) return [withoutLastDot(name)];
  const listed = search.map((domain) => `${name}.${withoutLastDot(domain)}`);
  const dots = name.split('.').length - 1;
  const all = dots >= ndots ? [name, ...listed] : [...listed, name];
  return all.filter((candidate, index) => nameFault(candidate) === undefined && all.indexOf(candidate) === index);
}

function plain(name: string): string {
  return withoutLastDot(name).toLowerCase();
}
