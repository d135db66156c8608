/** Metadata of any object, as far as we read it; fields not named here are kept as they came. */
export interface KubeMetadata {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  [field: string]: unknown;
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/** One object as the API server sent it: raw JSON, nothing dropped and nothing converted (dates stay text). */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: KubeMetadata;
  [field: string]: unknown;
}

export interface KubeList<T extends KubeObject = KubeObject> {
  metadata: { resourceVersion?: string; continue?: string; [field: string]: unknown };
  items: T[];
}

/** The content type of a patch: RFC 6902 operations, RFC 7386 merge, strategic merge, or server-side apply. */
export type PatchKind = 'json' | 'merge' | 'strategic' | 'apply';

export interface JsonPatchOperation {
  op: 'add' | 'remove' | 'replace' | 'test' | 'move' | 'copy';
  path: string;
  from?: string;
  value?: unknown;
}

export type QueryValue = string | number | boolean | undefined;

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Deadline of the whole call, its answer included; DEFAULT_TIMEOUT_MS unless given. */
  timeoutMs?: number | undefined;
  query?: Readonly<Record<string, QueryValue>> | undefined;
}

export interface ListOptions extends CallOptions {
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
}

export interface WriteOptions extends CallOptions {
  /** The server checks and admits, and stores nothing. */
  dryRun?: boolean | undefined;
  /** `kube-intercept` unless given. */
  fieldManager?: string | undefined;
}

export interface DeleteOptions extends CallOptions {
  dryRun?: boolean | undefined;
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan' | undefined;
  gracePeriodSeconds?: number | undefined;
  preconditions?: { uid?: string; resourceVersion?: string } | undefined;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface RawRequest extends CallOptions {
  method: Method;
  path: string;
  headers?: Readonly<Record<string, string>> | undefined;
  body?: string | undefined;
  /** The answer flows for long. */
  isStream?: true;
}

export interface RawResponse {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  text: string;
}
