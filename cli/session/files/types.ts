// Copies of the app container's volumes on the laptop (DESIGN section 6, `$INTERCEPT_ROOT`).
import type { Log } from '../../../src/log.ts';
import type { Mux } from '../../../src/mux/mux.ts';
import type { Report } from '../../ui/events.ts';
import type { ControlClient } from '../control-client.ts';

/** Where the copies come from, whichever agent of the workload it is: its pods have the same volumes. `AgentTunnel` is one. */
export interface FilesTunnel {
  readonly pod: string;
  readonly mux: Mux;
  readonly control: ControlClient;
}

/** `Agents` is one. */
export interface FilesSource {
  /** Resolves with a tunnel that is up, waiting for one where there is none. @throws the signal's reason */
  untilConnected(signal: AbortSignal): Promise<FilesTunnel>;
}

/** More than this is not copied. Bytes are of contents. */
export interface FilesLimits {
  readonly maxFiles: number;
  readonly maxBytes: number;
  readonly maxFileBytes: number;
}

/** Well inside what a tmpfs under XDG_RUNTIME_DIR holds, and one control message lists. */
export const FILES_LIMITS: FilesLimits = { maxFiles: 2_000, maxBytes: 64 * 1024 ** 2, maxFileBytes: 16 * 1024 ** 2 };

export interface FilesOptions {
  readonly source: FilesSource;
  /** Names the folder and whose it is: see filesFolder(). */
  readonly sessionId: string;
  /** Globs on the app's paths (src/glob.ts). */
  readonly exclude: readonly string[];
  readonly limits?: FilesLimits;
  /** Warnings: what cannot be read, or is not refreshed. */
  readonly report: Report;
  readonly log: Log;
  /** Ends the first copying; close() ends the rest. */
  readonly signal: AbortSignal;
}

/** The copies, refreshed until close(). */
export interface CopiedFiles {
  /** `$INTERCEPT_ROOT`: the app's `/etc/config/a.yaml` is `<root>/etc/config/a.yaml`. Read-only files, 0400 or 0500. */
  readonly root: string;
  /** The app's mount paths (`/etc/config`; a subPath mount may be a file): folders and files that exist below root. */
  readonly roots: readonly string[];
  /** To be called when an agent says `files-changed`. */
  changed(pod: string): void;
  /** Ends refreshing and removes the folder; may be called twice. */
  close(): Promise<void>;
}
