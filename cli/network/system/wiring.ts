import type { Log } from '../../../src/log.ts';
import type { ResolverWish } from './change.ts';
import type { Journal } from './journal.ts';
import { wireLinux } from './wire-linux.ts';
import { wireMacos } from './wire-macos.ts';
import { wireWindows } from './wire-windows.ts';

/** How this laptop's own resolver comes to ask us. */
export interface Wiring {
  /** For people: `systemd-resolved`. */
  readonly by: string;
  /** Namespaces have come or gone. */
  update(wish: ResolverWish): Promise<void>;
  /** Stops what watches; the journal undoes. */
  close(): void;
}

export interface WiringOptions {
  readonly journal: Journal;
  readonly wish: ResolverWish;
  readonly resolvConf: string;
  readonly log: Log;
  readonly warn: (message: string) => void;
}

/** Points the laptop's resolver at our DNS server, which must answer already. */
export async function wireResolver(options: WiringOptions): Promise<Wiring> {
  if (process.platform === 'darwin') return await wireMacos(options);
  if (process.platform === 'win32') return await wireWindows(options);
  return await wireLinux(options);
}
