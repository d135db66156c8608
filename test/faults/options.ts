import { parseArgs } from 'node:util';
import type { Fault } from './fault.ts';
import { FAULTS } from './faults.ts';
import { FULL_SIZE, LOAD_NAMES, type LoadName } from './load.ts';

export const USAGE = `npm run test:faults -- [--fault <names>] [--load <names>] [--quick] [--rate <n>] [--seed <n>]
npm run test:faults -- --soak <minutes> [--cycles <n>]

faults: ${FAULTS.map(({ name }) => name).join(', ')}
loads:  ${LOAD_NAMES.join(', ')}
`;

export interface FaultOptions {
  readonly faults: readonly Fault[];
  readonly loads: readonly LoadName[];
  /** A transfer of 64 MiB instead of 1 GiB, and carrier faults for 8 s instead of 20 s. */
  readonly quick: boolean;
  /** Requests a second: what the machine can do beside what else it does, else queues are measured. */
  readonly rate: number;
  readonly seed: number;
  /** Instead of the matrix. */
  readonly soakMinutes: number;
  readonly cycles: number;
}

/** @throws Error with USAGE for names that are not known */
export function parseOptions(args: readonly string[]): FaultOptions {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: { fault: text, load: text, quick: { type: 'boolean' }, rate: text, seed: text, soak: text, cycles: text },
  });
  return {
    faults: chosen(FAULTS, ({ name }) => name, values.fault),
    loads: chosen(LOAD_NAMES, (name) => name, values.load),
    quick: values.quick ?? false,
    rate: Number(values.rate ?? FULL_SIZE.requestsPerSecond),
    seed: Number(values.seed ?? Date.now() % 1_000_000),
    soakMinutes: Number(values.soak ?? 0),
    cycles: Number(values.cycles ?? 0),
  };
}

function chosen<T>(all: readonly T[], nameOf: (value: T) => string, names: string | undefined): readonly T[] {
  if (names === undefined) return all;
  return names.split(',').map((name) => {
    const found = all.find((value) => nameOf(value) === name);
    if (found === undefined) throw new Error(`no such name: ${name}\n${USAGE}`);
    return found;
  });
}
