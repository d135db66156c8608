import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { startFiles } from '../../../cli/session/files/files.ts';
import type { CopiedFiles, FilesOptions } from '../../../cli/session/files/types.ts';
import { silentLog } from '../../../src/log.ts';
import { StateFolder } from '../../support/state-folder.ts';
import { PodDouble, SourceDouble } from './pod-files.ts';

const SESSION = 'abcDEF-_1';

/** A laptop's folders for copies, the pods they come from, and what the user was told. */
export class FilesWorld {
  readonly warnings: string[] = [];
  readonly #state: StateFolder;
  readonly #pods: PodDouble[] = [];
  readonly #copied: CopiedFiles[] = [];

  private constructor(state: StateFolder) {
    this.#state = state;
  }

  static async open(): Promise<FilesWorld> {
    return new FilesWorld(await StateFolder.openWithRuntime());
  }

  get folder(): string {
    return this.#state.path;
  }

  /** Ends all copies and pods; nothing may be left of them. */
  async close(): Promise<void> {
    for (const files of this.#copied) await files.close();
    for (const pod of this.#pods) {
      await pod.close();
      assert.deepEqual(pod.tunnel.mux.stats(), { openStreams: 0, queuedBytes: 0, timers: 0 });
    }
    assert.deepEqual(this.leftFiles(), []);
    await this.#state.close();
  }

  /** Plain files below the folders of the session, of either place. */
  leftFiles(): string[] {
    return ['run', 'state'].flatMap((name) => {
      const path = join(this.folder, name);
      if (!existsSync(path)) return [];
      return readdirSync(path, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => join(entry.parentPath, entry.name));
    });
  }

  makePod(name = 'web-1'): PodDouble {
    const pod = new PodDouble(name, (changed) => {
      for (const files of this.#copied) files.changed(changed);
    });
    this.#pods.push(pod);
    return pod;
  }

  async start(pod: PodDouble | SourceDouble, more: Partial<FilesOptions> = {}): Promise<CopiedFiles> {
    const files = await startFiles({
      source: pod instanceof PodDouble ? new SourceDouble(pod.tunnel) : pod,
      sessionId: SESSION,
      exclude: [],
      report: (event) => {
        if (event.event === 'warning') this.warnings.push(event.message);
      },
      log: silentLog,
      signal: AbortSignal.timeout(20_000),
      ...more,
    });
    this.#copied.push(files);
    return files;
  }
}

export const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
export const textOf = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);
export const inRoot = ({ root }: CopiedFiles, path: string): string => join(root, path);
