// The package's index loads fetch, caches and mocks too: 47 ms instead of 20 ms (bundled, Node 20). These two files of the
// pinned version are all we use; they have no declarations of their own.
declare module 'undici/lib/dispatcher/pool.js' {
  import { Pool } from 'undici';
  export default Pool;
}

declare module 'undici/lib/api/api-request.js' {
  import type { Dispatcher } from 'undici';
  /** Dispatcher.prototype.request, which the index mixes in. */
  export default function request(
    this: Dispatcher,
    options: Dispatcher.RequestOptions,
  ): Promise<Dispatcher.ResponseData>;
}
