import { ControlClient } from '../../../cli/session/control-client.ts';
import type { FilesSource, FilesTunnel } from '../../../cli/session/files/types.ts';
import { errorText } from '../../../src/errors.ts';
import { Mux, type MuxStream } from '../../../src/mux/mux.ts';
import type { ControlMessage } from '../../../src/protocol/control.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';

export interface FileDouble {
  readonly text: string;
  readonly mode?: number;
  /** Refused when it is opened. */
  readonly unreadable?: boolean;
}

/**
 * The agent's end of files, real mux and messages, with its volumes in memory: what a test changes while a file is on its way is
 * exact to the file. The real agent has tests of its own beside this.
 */
export class PodDouble {
  readonly name: string;
  roots: string[] = ['/etc/config'];
  readonly files = new Map<string, FileDouble>();
  /** Paths asked for, in order. */
  readonly opened: string[] = [];
  unreadable: string[] = [];
  listed = 0;
  mostAtOnce = 0;
  /** Before a file's first byte goes out. */
  onFile: (path: string) => void | Promise<void> = () => {};
  readonly tunnel: FilesTunnel;
  readonly agentMux: Mux;
  readonly #versions = new Map<FileDouble, string>();
  #atOnce = 0;

  constructor(name: string, onChanged: (pod: string) => void = () => {}) {
    this.name = name;
    const [session, agent] = MemoryTransport.pair();
    this.agentMux = new Mux(agent, {
      side: 'agent',
      onOpen: (stream) => void this.#give(stream),
      onControl: (message) => this.#answer(message),
    });
    const control = new ControlClient(
      (message) => mux.sendControl(message),
      (event) => {
        if (event.event === 'files-changed') onChanged(name);
      },
    );
    const mux = new Mux(session, {
      side: 'session',
      onOpen: (stream) => stream.refuse('refused'),
      onControl: (message) => control.receive(message),
    });
    void mux.closed.then((error) => control.close(error ?? new Error('closed')));
    this.tunnel = { pod: name, mux, control };
  }

  put(path: string, text: string, more: Omit<FileDouble, 'text'> = {}): void {
    this.files.set(path, { text, ...more });
  }

  tellChanged(): void {
    this.agentMux.sendControl({ type: 'event', event: 'files-changed' });
  }

  async close(): Promise<void> {
    await this.agentMux.close();
    await this.tunnel.mux.close();
  }

  #answer(message: ControlMessage): void {
    if (message.type !== 'request' || message.method !== 'files') return;
    this.listed += 1;
    const files = [...this.files].map(([path, file]) => ({
      path,
      size: Buffer.byteLength(file.text),
      mode: file.mode ?? 0o644,
      mtimeMs: 0,
      version: this.#version(file),
    }));
    const result = { roots: this.roots, files, unreadable: this.unreadable };
    this.agentMux.sendControl({ type: 'response', id: message.id, result });
  }

  #version(file: FileDouble): string {
    const known = this.#versions.get(file) ?? `v${this.#versions.size}`;
    this.#versions.set(file, known);
    return known;
  }

  async #give(stream: MuxStream): Promise<void> {
    this.#atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce);
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of stream.iterator({ destroyOnReturn: false })) chunks.push(chunk);
      const path = Buffer.concat(chunks).subarray(2).toString();
      this.opened.push(path);
      await this.onFile(path);
      const file = this.files.get(path);
      if (file === undefined) stream.refuse('not-found');
      else if (file.unreadable === true) stream.refuse('unreachable');
      else {
        stream.accept();
        stream.end(file.text);
      }
    } catch (error) {
      stream.destroy(new Error(errorText(error))); // the session let go of it
    } finally {
      this.#atOnce -= 1;
    }
  }
}

/** Tunnels one after the other, as Agents gives them. */
export class SourceDouble implements FilesSource {
  current: FilesTunnel | undefined;
  #wake: () => void = () => {};

  constructor(first?: FilesTunnel) {
    if (first !== undefined) this.use(first);
  }

  use(tunnel: FilesTunnel): void {
    this.current = tunnel;
    void tunnel.mux.closed.then(() => {
      if (this.current === tunnel) this.current = undefined;
    });
    this.#wake();
  }

  async untilConnected(signal: AbortSignal): Promise<FilesTunnel> {
    while (this.current === undefined) {
      if (signal.aborted) throw signal.reason;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    return this.current;
  }
}
