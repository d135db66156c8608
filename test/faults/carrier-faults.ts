// What networks do to the connection between the laptop and the API server.
import { setTimeout as sleep } from 'node:timers/promises';
import { run, tryRun } from '../cluster/exec.ts';
import type { RelayEnd } from '../support/faulty-relay.ts';
import type { Fault, FaultContext } from './fault.ts';

const EVERY_MS = 2_000;
/** The longest that a fault goes on for a transfer to come to its end. */
const MAX_REPEAT_MS = 180_000;
/** How long a stall lasts, at most, that ends by itself. */
const MAX_STALL_MS = 1_900;

export const CARRIER_FAULTS: readonly Fault[] = [
  {
    name: 'carrier-cut',
    target: 'no failures',
    settledBy: 'laptop',
    inject: (context) => repeatedly(context, () => 'cut'),
  },
  {
    // By turns: a pause of all connections, and one that the open connections never come back from.
    name: 'carrier-stall',
    target: 'no failures',
    settledBy: 'laptop',
    inject: (context) => repeatedly(context, (round) => (round % 2 === 0 ? 'stall' : 'freeze')),
  },
  {
    name: 'carrier-reset',
    target: 'no failures',
    settledBy: 'laptop',
    inject: (context) => repeatedly(context, () => 'reset'),
  },
  {
    name: 'address-change',
    target: 'no failures',
    settledBy: 'laptop',
    inject: async ({ place: { scene } }) => {
      const { netns, relay } = scene.laptop;
      await moveLaptop(netns, relay.address, await addressOf(netns), elsewhere(await addressOf(netns)));
    },
    undo: async ({ place: { scene } }) => {
      const { netns } = scene.laptop;
      const address = elsewhere(await addressOf(netns));
      await tryRun(['ip', 'route', 'del', elsewhere(address)]);
      await run(inside(netns, 'address', 'flush', 'dev', 'eth0'));
      await run(inside(netns, 'address', 'add', `${address}/30`, 'dev', 'eth0'));
    },
  },
];

/** Faults the carrier at a random byte of each two seconds; at their end if so many bytes do not pass. */
async function repeatedly(context: FaultContext, how: (round: number) => RelayEnd): Promise<void> {
  const { relay } = context.place.scene.laptop;
  const startedAtMs = performance.now();
  let passed = sum(relay.bytes());
  let perRound = 64 * 1024;
  for (let round = 0; !isEnough(context, performance.now() - startedAtMs); round++) {
    const end = how(round);
    context.again();
    relay.cutAfterBytes(1 + Math.floor(context.random() * perRound), end);
    const stallMs = end === 'stall' ? context.random() * MAX_STALL_MS : 0;
    await sleep(EVERY_MS - stallMs);
    if (relay.cutAfterBytes(0)) relay[end]();
    await sleep(stallMs);
    relay.resume();
    perRound = Math.max(1024, sum(relay.bytes()) - passed);
    passed = sum(relay.bytes());
  }
}

function isEnough({ load, repeatMs }: FaultContext, elapsedMs: number): boolean {
  return elapsedMs > MAX_REPEAT_MS || (elapsedMs > repeatMs && load.isTransferred);
}

function sum({ up, down }: { up: number; down: number }): number {
  return up + down;
}

function inside(netns: string, ...args: string[]): string[] {
  return ['ip', 'netns', 'exec', netns, 'ip', ...args];
}

async function addressOf(netns: string): Promise<string> {
  const shown = await run(inside(netns, '-o', '-4', 'address', 'show', 'dev', 'eth0'));
  const address = /inet (\S+)\//.exec(shown)?.[1];
  if (address === undefined) throw new Error(`no address on the laptop: ${shown}`);
  return address;
}

/** The laptop's other address: 10.224.… at home, 10.225.… elsewhere. */
function elsewhere(address: string): string {
  return address.startsWith('10.224.') ? address.replace('10.224.', '10.225.') : address.replace('10.225.', '10.224.');
}

/** Another network: the old address is gone, and nobody tells the connections. */
async function moveLaptop(netns: string, host: string, from: string, to: string): Promise<void> {
  const link = /^\d+: ([^\s@]+)/.exec(await run(['ip', '-o', '-4', 'address', 'show', 'to', host]))?.[1];
  if (link === undefined) throw new Error(`no link to the laptop has ${host}`);
  await run(inside(netns, 'address', 'del', `${from}/30`, 'dev', 'eth0'));
  await run(inside(netns, 'address', 'add', `${to}/32`, 'dev', 'eth0'));
  await run(inside(netns, 'route', 'add', `${host}/32`, 'dev', 'eth0', 'src', to));
  await run(['ip', 'route', 'add', `${to}/32`, 'dev', link]);
}
