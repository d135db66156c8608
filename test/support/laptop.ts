import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  allowOnly,
  createLaptopNamespace,
  makeLaptopFolder,
  removeLaptopNamespace,
} from '../cluster/laptop-namespace.ts';
import { installHostPackages } from '../cluster/packages.ts';
import type { TestCluster, TestNamespace } from './cluster.ts';
import { type Relay, startRelay } from './faulty-relay.ts';

/** Ordinary users of every Debian; each has an entry in /etc/passwd, so os.userInfo() works. */
const USERS = { nobody: 65534, games: 5, news: 9 } as const;
type User = keyof typeof USERS;

export interface LaptopSpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the laptop's home. */
  readonly cwd?: string;
  readonly stdio?: StdioOptions;
  readonly detached?: boolean;
  /**
   * Gives the command a terminal of its own; what it shows is the child's stdout. The child is then script(1), which stands
   * for the terminal window: write '\x03' to its stdin for Ctrl-C, kill it to close the window (the command gets SIGHUP).
   */
  readonly tty?: boolean;
}

export interface LaptopResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A developer's machine: reaches the API server through `relay`, and nothing else; no DNS, no route to pods or Services. */
export interface Laptop {
  readonly netns: string;
  /** The API server as the laptop reaches it. */
  readonly apiUrl: string;
  /** Empty home of the ordinary user. */
  readonly home: string;
  readonly uid: number;
  readonly user: string;
  readonly relay: Relay;
  /** Writes, into the laptop's home, the kubeconfig of a user with the Role of deploy/rbac.yaml in that namespace alone. */
  kubeconfig(namespace: TestNamespace): Promise<string>;
  /** Starts a command as the ordinary user. The child is the command itself, so signals reach it directly. */
  spawn(command: readonly string[], options?: LaptopSpawnOptions): ChildProcess;
  /** Runs a command to its end, killing it (SIGKILL) after `timeoutMs`, 60 s by default. */
  run(
    command: readonly string[],
    options?: LaptopSpawnOptions & { timeoutMs?: number; input?: string },
  ): Promise<LaptopResult>;
  /** Ends what still runs there and removes everything. May be called twice. */
  dispose(): Promise<void>;
}

/** Starts a laptop. Several can be up at once, each with a relay, a network namespace and a home of its own. */
export async function startLaptop(cluster: TestCluster, options: { user?: User } = {}): Promise<Laptop> {
  await installHostPackages();
  const user = options.user ?? 'nobody';
  const namespace = await createLaptopNamespace();
  try {
    const home = await makeLaptopFolder(namespace);
    await chown(home, USERS[user], USERS[user]);
    const relay = await startRelay(cluster.apiServer, { host: namespace.hostAddress });
    await allowOnly(namespace, relay.port);
    return new NamespaceLaptop(namespace.name, { name: user, uid: USERS[user] }, home, relay);
  } catch (cause) {
    await removeLaptopNamespace(namespace.name);
    throw cause;
  }
}

/** The same laptop with what sudo gives its user: root's rights, the user's name in SUDO_USER. */
export function withSudo(laptop: Laptop): Laptop {
  return new NamespaceLaptop(laptop.netns, { name: 'root', uid: 0, sudo: laptop }, laptop.home, laptop.relay);
}

/** Somebody else who is logged in on the laptop. */
export function otherUserOf(laptop: Laptop, user: User): Laptop {
  return new NamespaceLaptop(laptop.netns, { name: user, uid: USERS[user] }, laptop.home, laptop.relay);
}

interface Person {
  readonly name: string;
  readonly uid: number;
  /** Who became this one by sudo. */
  readonly sudo?: { readonly user: string; readonly uid: number };
}

class NamespaceLaptop implements Laptop {
  readonly netns: string;
  readonly apiUrl: string;
  readonly home: string;
  readonly uid: number;
  readonly user: string;
  readonly relay: Relay;

  readonly #sudo: Readonly<Record<string, string>>;

  constructor(netns: string, { name, uid, sudo }: Person, home: string, relay: Relay) {
    this.netns = netns;
    this.user = name;
    this.uid = uid;
    this.#sudo =
      sudo === undefined ? {} : { SUDO_USER: sudo.user, SUDO_UID: String(sudo.uid), SUDO_GID: String(sudo.uid) };
    this.home = home;
    this.relay = relay;
    this.apiUrl = `https://${relay.address}:${relay.port}`;
  }

  async kubeconfig(namespace: TestNamespace): Promise<string> {
    const file = join(this.home, `${namespace.name}.kubeconfig`);
    await writeFile(file, namespace.kubeconfigFor(this.apiUrl), { mode: 0o600 });
    await chown(file, this.uid, this.uid);
    return file;
  }

  spawn(command: readonly string[], options: LaptopSpawnOptions = {}): ChildProcess {
    const user = ['setpriv', '--reuid', String(this.uid), '--regid', String(this.uid), '--clear-groups', '--'];
    const chain = ['ip', 'netns', 'exec', this.netns, ...user, ...command]; // each of them execs the next
    const terminal = ['script', '-q', '-f', '-e', '-c', `exec ${chain.map(quote).join(' ')}`, '/dev/null'];
    const [file = '', ...args] = options.tty ? terminal : chain;
    return spawn(file, args, {
      cwd: options.cwd ?? this.home,
      env: { ...this.#environment(options.tty ?? false), ...options.env },
      stdio: options.stdio ?? 'pipe',
      detached: options.detached ?? false,
    });
  }

  async run(
    command: readonly string[],
    options: LaptopSpawnOptions & { timeoutMs?: number; input?: string } = {},
  ): Promise<LaptopResult> {
    const child = this.spawn(command, options);
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        output[name] += text;
      });
    }
    child.stdin?.on('error', () => {}); // EPIPE: the command did not want its input
    if (!options.tty || options.input !== undefined) child.stdin?.end(options.input ?? '');
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
    try {
      const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (...ended) => resolve(ended));
      });
      return { code, signal, ...output };
    } finally {
      clearTimeout(timer);
    }
  }

  async dispose(): Promise<void> {
    await this.relay.close();
    await removeLaptopNamespace(this.netns);
  }

  /** Nothing of the test's own environment: no KUBECONFIG, no proxy, no root's HOME. */
  #environment(tty: boolean): Record<string, string> {
    const path = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
    const user = { HOME: this.home, USER: this.user, LOGNAME: this.user, SHELL: '/bin/sh', LANG: 'C.UTF-8' };
    return { PATH: path, ...user, ...this.#sudo, ...(tty ? { TERM: 'xterm-256color' } : {}) };
  }
}

function quote(argument: string): string {
  return `'${argument.replaceAll("'", "'\\''")}'`;
}
