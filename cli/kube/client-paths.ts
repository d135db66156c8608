export interface ResourceRef {
  /** `v1`, `apps/v1`, … */
  apiVersion: string;
  /** Plural, lower case: `deployments`. */
  resource: string;
  namespace?: string | undefined;
  name?: string | undefined;
  /** `log`, `scale`, `proxy`, …; may hold slashes that are kept. */
  subresource?: string | undefined;
}

/**
 * The REST path of a collection or object: `/apis/apps/v1/namespaces/shop/deployments/web/scale`.
 * @returns without query; each part percent-encoded
 */
export function resourcePath(ref: ResourceRef): string {
  const group = ref.apiVersion.includes('/') ? `/apis/${ref.apiVersion}` : `/api/${ref.apiVersion}`;
  const parts = [group];
  if (ref.namespace !== undefined) parts.push('namespaces', encodeURIComponent(ref.namespace));
  parts.push(encodeURIComponent(ref.resource));
  if (ref.name !== undefined) parts.push(encodeURIComponent(ref.name));
  if (ref.subresource !== undefined) parts.push(...ref.subresource.split('/').map(encodeURIComponent));
  return parts.join('/');
}

/** Appends the defined values of `query` to `path`, which may have a query already. */
export function withQuery(
  path: string,
  query: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.append(name, String(value));
  const text = search.toString();
  if (text === '') return path;
  return `${path}${path.includes('?') ? '&' : '?'}${text}`;
}
