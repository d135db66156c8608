import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { chmod, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { installHostPackages } from '../cluster/packages.ts';
import { bundleProgram } from './bundle.ts';

/** `nobody`: the tests run as root, the session as an ordinary user. */
export const ORDINARY_UID = 65_534;
const INSIDE = new URL('../../cli/network/namespace/inside', import.meta.url).pathname;

export interface InsideResult {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

type Line = Readonly<Record<string, unknown>>;

/** A session with a namespace and without a cluster (programs/namespace-session.ts says where its ways out lead). */
export class NamespaceSession {
  readonly child: ChildProcess;
  /** All that it said, one object a line. */
  readonly lines: Line[] = [];
  readonly #commands: number[] = [];
  readonly #news = new EventEmitter();
  #ended = false;
  #nextId = 1;

  private constructor(child: ChildProcess) {
    this.child = child;
    child.stdin?.on('error', () => {}); // EPIPE: it was killed
    this.#news.setMaxListeners(0);
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on('line', (line) => {
        this.lines.push(JSON.parse(line));
        this.#news.emit('news');
      });
    child.once('close', () => {
      this.#ended = true;
      this.#news.emit('news');
    });
  }

  static async start(
    folder: string,
    options: {
      mounts?: { source: string; target: string }[];
      uid?: number;
      around?: readonly string[];
      within?: readonly string[];
    } = {},
  ): Promise<NamespaceSession> {
    const uid = String(options.uid ?? ORDINARY_UID);
    const user = process.getuid?.() === 0 ? ['setpriv', '--reuid', uid, '--regid', uid, '--clear-groups', '--'] : [];
    const settings = JSON.stringify({ mounts: options.mounts ?? [] });
    const program = join(folder, 'namespace-session.mjs');
    const [file = '', ...args] = [
      ...(options.around ?? []),
      ...user,
      ...(options.within ?? []),
      process.execPath,
      program,
      settings,
    ];
    const env = { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: folder, LANG: 'C' };
    const session = new NamespaceSession(spawn(file, args, { cwd: '/', env, stdio: ['pipe', 'pipe', 'inherit'] }));
    await session.said(({ ready }) => ready !== undefined);
    return session;
  }

  get ready(): Line {
    return this.lines.find(({ ready }) => ready !== undefined) ?? {};
  }

  /** Waits for a line, said already or still to come. */
  async said(matches: (line: Line) => boolean, deadlineMs = 20_000): Promise<Line> {
    const deadline = AbortSignal.timeout(deadlineMs);
    for (let at = 0; ; at++) {
      while (at >= this.lines.length) {
        if (this.#ended) throw new Error(`the session has ended: ${JSON.stringify(this.lines)}`);
        await once(this.#news, 'news', { signal: deadline });
      }
      const line = this.lines[at];
      if (line !== undefined && matches(line)) return line;
    }
  }

  /** Runs a command inside to its end. */
  async run(argv: readonly string[], options: { cwd?: string; input?: string } = {}): Promise<InsideResult> {
    const line = await this.call({ run: argv, ...options });
    return { code: null, signal: null, stdout: '', stderr: '', ...line };
  }

  /** Starts a command inside. @returns its pid */
  async startCommand(argv: readonly string[]): Promise<number> {
    const pid = Number((await this.call({ start: argv })).pid);
    this.#commands.push(pid);
    return pid;
  }

  /** What the session knows of a port of its command, and what the command answers there to `ping`: text or an error's code. */
  async listens(port: number): Promise<object> {
    const { id: _, ...told } = await this.call({ port });
    return told;
  }

  /** What a peer of the command's UDP socket hears that says `ping` there. */
  async askUdp(port: number): Promise<object> {
    const { id: _, ...told } = await this.call({ udp: port });
    return told;
  }

  async call(call: object): Promise<Line> {
    const id = this.#nextId++;
    this.child.stdin?.write(`${JSON.stringify({ id, ...call })}\n`);
    return await this.said((line) => line.id === id);
  }

  /** Ends it and its commands; by `kill` it alone, and not at all gently. */
  async end(how: 'close' | 'kill' = 'close'): Promise<void> {
    if (how === 'close') {
      for (const pid of this.#commands.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    }
    if (this.#ended) return;
    const ended = new Promise((resolve) => this.child.once('close', resolve));
    if (how === 'close' && this.ready.ready === true) await this.call({ close: true });
    this.child.kill('SIGKILL');
    await ended;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false; // ESRCH
  }
}

/** A folder with the session program, readable for everybody. */
export async function makeSessionFolder(): Promise<string> {
  await installHostPackages();
  const folder = await mkdtemp(join(tmpdir(), 'namespace-session.'));
  await writeFile(join(folder, 'namespace-session.mjs'), await bundleProgram('namespace-session'));
  await cp(INSIDE, join(folder, 'inside'), { recursive: true });
  await chmod(folder, 0o755);
  return folder;
}

export async function removeSessionFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}
