import type {
  CallOptions,
  DeleteOptions,
  JsonPatchOperation,
  KubeList,
  KubeObject,
  ListOptions,
  PatchKind,
  RawRequest,
  RawResponse,
  WriteOptions,
} from './client-types.ts';
import type { KubeAccess } from './kubeconfig-types.ts';

export { resourcePath, withQuery } from './client-paths.ts';
export type * from './client-types.ts';
export { isAlreadyExists, isConflict, isForbidden, isNotFound, KubeStatusError } from './status-errors.ts';

export const DEFAULT_TIMEOUT_MS = 20_000;

/** Raw-JSON client of one API server: connections are kept alive, every call has a deadline and takes a signal. */
export class KubeClient {
  readonly access: KubeAccess;

  private constructor(access: KubeAccess) {
    this.access = access;
  }

  /** Opens no connection yet. @param access from loadKubeConfig() */
  static async connect(access: KubeAccess): Promise<KubeClient> {
    return new KubeClient(access);
  }

  /** @throws KubeStatusError (isNotFound(e) for 404), InterceptorError CLUSTER_* */
  get<T extends KubeObject = KubeObject>(path: string, options: CallOptions = {}): Promise<T> {
    throw new Error(`not built yet ${path} ${String(options)}`);
  }

  /** All pages of a collection. */
  list<T extends KubeObject = KubeObject>(path: string, options: ListOptions = {}): Promise<KubeList<T>> {
    throw new Error(`not built yet ${path} ${String(options)}`);
  }

  /** POST of `object` to the collection `path`. @returns the stored object */
  create<T extends KubeObject = KubeObject>(path: string, object: object, options: WriteOptions = {}): Promise<T> {
    throw new Error(`not built yet ${path} ${String(object)} ${String(options)}`);
  }

  /** PUT of the whole object (guarded when it carries resourceVersion). */
  replace<T extends KubeObject = KubeObject>(path: string, object: object, options: WriteOptions = {}): Promise<T> {
    throw new Error(`not built yet ${path} ${String(object)} ${String(options)}`);
  }

  /** @param body operations for 'json', else the partial object */
  patch<T extends KubeObject = KubeObject>(
    path: string,
    body: object | readonly JsonPatchOperation[],
    kind: PatchKind,
    options: WriteOptions = {},
  ): Promise<T> {
    throw new Error(`not built yet ${path} ${String(body)} ${kind} ${String(options)}`);
  }

  /** Deletes one object. @returns false when there was none (404) */
  delete(path: string, options: DeleteOptions = {}): Promise<boolean> {
    throw new Error(`not built yet ${path} ${String(options)}`);
  }

  /** Any request; for answers that are not objects (logs, /version). @throws as get() for a status of 400 or more */
  request(request: RawRequest): Promise<RawResponse> {
    throw new Error(`not built yet ${String(request)}`);
  }

  /** Closes idle and running connections; calls in flight fail. May be called twice. */
  async close(): Promise<void> {}

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
