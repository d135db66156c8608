import { errorText, InterceptorError, systemErrorCode } from '../../../src/errors.ts';
import { StreamResetError } from '../../../src/mux/stream.ts';
import { backoffMs, pause } from '../backoff.ts';
import { type FilesFolder, makeFilesFolder, removeSessionFiles } from './folder.ts';
import { CopyTree, type Refreshed } from './refresh.ts';
import { type CopiedFiles, FILES_LIMITS, type FilesOptions, type FilesTunnel } from './types.ts';

/** Between two refreshes at least: an emptyDir that is written all the time must not keep the tunnel busy. */
const REFRESH_INTERVAL_MS = 500;
/** A refresh that failed (a full disk) is tried again, with or without another change. */
const RETRY_MS = 30_000;
const UNREADABLE_SHOWN = 5;

/**
 * Copies the app container's volumes to the laptop and keeps the copies as the volumes are, from whichever pod there is.
 * Changes of files that are copied before the first copy is complete are in it.
 * @throws InterceptorError FILES_LIMIT, FILES_NOT_WRITTEN; RequestRefused (an agent without files); the signal's reason. Then
 * nothing is left behind.
 */
export async function startFiles(options: FilesOptions): Promise<CopiedFiles> {
  const folder = await makeFilesFolder(options.sessionId).catch((error: unknown) => {
    throw notWritten('the folder for them', error);
  });
  const files = new Files(options, folder);
  try {
    await files.start();
    return files;
  } catch (error) {
    await files.close();
    throw error;
  }
}

class Files implements CopiedFiles {
  readonly #options: FilesOptions;
  readonly #folder: FilesFolder;
  readonly #tree: CopyTree;
  readonly #ending = new AbortController();
  #roots: readonly string[] = [];
  #following: Promise<void> = Promise.resolve();
  /** The one whose files were asked for last; undefined once it has ended. */
  #tunnel: FilesTunnel | undefined;
  #dirty = false;
  #wake: () => void = () => {};
  /** What was said last: a warning is told when it changes. */
  #unreadable = '';
  #failure: string | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: FilesOptions, folder: FilesFolder) {
    this.#options = options;
    this.#folder = folder;
    this.#tree = new CopyTree(folder, options.exclude, options.limits ?? FILES_LIMITS);
  }

  get root(): string {
    return this.#folder.root;
  }

  get roots(): readonly string[] {
    return this.#roots;
  }

  changed(pod: string): void {
    if (pod !== this.#tunnel?.pod) return; // asked once, of a pod that is not ours any more
    this.#dirty = true;
    this.#wake();
  }

  /** The first copy, from the first agent that stays long enough. */
  async start(): Promise<void> {
    const { signal } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const tunnel = await this.#options.source.untilConnected(signal);
      try {
        this.#took(await this.#refresh(tunnel, signal));
        this.#following = this.#follow();
        return;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (!isTunnelLost(error)) throw this.#asOurs(error);
        await pause(backoffMs(attempt), signal);
      }
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    this.#ending.abort(new Error('session ended'));
    this.#wake();
    await this.#following;
    await removeSessionFiles(this.#options.sessionId).catch((error: unknown) =>
      this.#warn(`the copies of the app's files in ${this.#folder.path} could not be removed: ${errorText(error)}`),
    );
  }

  async #follow(): Promise<void> {
    const { signal } = this.#ending;
    let failed = false;
    for (let attempt = 0; !signal.aborted; ) {
      await this.#untilDue(failed ? RETRY_MS : undefined);
      if (signal.aborted) return;
      try {
        if (this.#tunnel === undefined) await pause(backoffMs(attempt++), signal);
        this.#took(await this.#refresh(this.#tunnel ?? (await this.#options.source.untilConnected(signal)), signal));
        attempt = 0;
        failed = false;
        if (this.#failure !== undefined) this.#options.log.info('copies of files are refreshed again');
        this.#failure = undefined;
      } catch (error) {
        if (signal.aborted) return;
        failed = true;
        if (isTunnelLost(error)) continue;
        this.#tellFailure(this.#asOurs(error));
      }
      await pause(REFRESH_INTERVAL_MS, signal);
    }
  }

  /** Waits for a change, for the tunnel's end or for `retryMs`. */
  async #untilDue(retryMs: number | undefined): Promise<void> {
    const awake = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const timer = retryMs === undefined ? undefined : setTimeout(this.#wake, retryMs);
    if (!this.#dirty && this.#tunnel !== undefined && !this.#ending.signal.aborted) await awake;
    clearTimeout(timer);
  }

  /** The tunnel that is used from now on, until it ends. */
  #use(tunnel: FilesTunnel): void {
    this.#tunnel = tunnel;
    void tunnel.mux.closed.then(() => {
      if (this.#tunnel !== tunnel) return;
      this.#tunnel = undefined;
      this.#wake();
    });
  }

  async #refresh(tunnel: FilesTunnel, signal: AbortSignal): Promise<Refreshed> {
    if (this.#tunnel !== tunnel) this.#use(tunnel);
    this.#dirty = false;
    return await this.#tree.refresh(tunnel, signal);
  }

  #took({ roots, unreadable, placed, removed }: Refreshed): void {
    this.#roots = roots;
    this.#options.log.debug('files copied', { pod: this.#tunnel?.pod, placed, removed, unreadable: unreadable.length });
    const names = unreadable.slice(0, UNREADABLE_SHOWN).join(', ');
    if (unreadable.length > 0 && this.#unreadable !== unreadable.join('\0')) {
      const more = unreadable.length > UNREADABLE_SHOWN ? ` and ${unreadable.length - UNREADABLE_SHOWN} more` : '';
      this.#warn(`not copied, the agent may not read them (it does not run as root): ${names}${more}`);
    }
    this.#unreadable = unreadable.join('\0');
  }

  #tellFailure(error: unknown): void {
    const text = errorText(error);
    if (text === this.#failure) return;
    this.#failure = text;
    this.#warn(`the copies of the app's files are not refreshed: ${text}`);
  }

  #warn(message: string): void {
    this.#options.report({ event: 'warning', message });
  }

  #asOurs(error: unknown): unknown {
    return isDiskError(error) ? notWritten(`copies in ${this.#folder.path}`, error) : error;
  }
}

function isTunnelLost(error: unknown): boolean {
  if (error instanceof InterceptorError) return error.code === 'TUNNEL_LOST';
  return error instanceof StreamResetError && error.reason === 'gone';
}

function isDiskError(error: unknown): boolean {
  return (
    !(error instanceof InterceptorError) && !(error instanceof StreamResetError) && systemErrorCode(error) !== undefined
  );
}

function notWritten(what: string, cause: unknown): InterceptorError {
  const code = systemErrorCode(cause);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new InterceptorError(
    'FILES_NOT_WRITTEN',
    `${what}: ${full ? `the disk is full (${code})` : errorText(cause)}`,
    {
      hint: full
        ? "make room there, set XDG_RUNTIME_DIR to a folder on another disk, or leave files out: --files-exclude '/path/**', --files off"
        : 'XDG_RUNTIME_DIR names the folder where they go; --files off does without them',
      cause,
    },
  );
}
