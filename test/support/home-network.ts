// What only the laptop knows and reaches: a resolver of its own, a name in it, and a server behind the name.
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../cluster/exec.ts';
import { laptopEtc } from '../cluster/laptop-namespace.ts';
import { bundleProgram } from './bundle.ts';
import type { Laptop } from './laptop.ts';
import { until } from './until.ts';

/** Of the router at home: a private address that is none of the cluster's, and no loopback address. */
export const HOME_ADDRESS = '192.168.77.1';
/** The HTTP server there answers `home <the caller's address>`. */
export const HOME_NAME = 'laptop-only.example';

export interface HomeNetwork {
  /** Names that were asked for there so far, in lower case. */
  readonly asked: ReadonlySet<string>;
  /** The text of the laptop's /etc/resolv.conf. */
  readonly resolvConf: string;
}

/**
 * Gives a laptop a network at home: commands started there from now on see a resolv.conf that names the DNS server at
 * HOME_ADDRESS. Without it they see the machine's own, whose servers the laptop does not reach. Ends with the laptop.
 */
export async function startHomeNetwork(laptop: Laptop): Promise<HomeNetwork> {
  const etc = laptopEtc(laptop.netns);
  const resolvConf = `nameserver ${HOME_ADDRESS}\n`;
  await mkdir(etc, { recursive: true });
  await writeFile(join(etc, 'resolv.conf'), resolvConf);
  await copyFile('/etc/hosts', join(etc, 'hosts')); // so that nothing on the laptop can change the machine's
  const inside = ['ip', 'netns', 'exec', laptop.netns];
  await run([...inside, 'ip', 'address', 'add', `${HOME_ADDRESS}/32`, 'dev', 'lo']);
  const program = await bundleProgram('home-network');
  const [file = '', ...args] = [...inside, process.execPath, '--input-type=module', '-', HOME_ADDRESS];
  const child = spawn(file, [...args, JSON.stringify({ [HOME_NAME]: HOME_ADDRESS })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(program);
  const asked = new Set<string>();
  let isReady = false;
  followLines(child, (line) => {
    const said: { ready?: true; name?: string } = JSON.parse(line);
    if (said.ready) isReady = true;
    if (said.name !== undefined) asked.add(said.name.toLowerCase());
  });
  await until(() => isReady || child.exitCode !== null, 'the network at home');
  if (child.exitCode !== null) throw new Error('the network at home ended');
  return { asked, resolvConf };
}

function followLines(child: ChildProcess, take: (line: string) => void): void {
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
  });
}
