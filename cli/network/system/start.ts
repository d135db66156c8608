import type { SystemMode, SystemModeOptions } from './types.ts';

/**
 * Puts the whole laptop inside the cluster: a DNS server and an address of its own for every Service.
 * @throws InterceptorError LAPTOP_NEEDS_ROOT, LAPTOP_IN_USE, LAPTOP_PORT_TAKEN
 */
export async function startSystemMode(options: SystemModeOptions): Promise<SystemMode> {
  options.signal.throwIfAborted();
  throw new Error('not built yet');
}
