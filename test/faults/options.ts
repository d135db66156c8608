import { parseArgs } from 'node:util';
import { readName, readNumber } from '../support/command-line.ts';
import type { Fault } from './fault.ts';
import { FAULTS } from './faults.ts';
import { FULL_SIZE, LOAD_NAMES, type LoadName } from './load.ts';

export const USAGE = `npm run test:faults -- [--fault <names>] [--load <names>] [--quick] [--rate <n>] [--seed <n>]
npm run test:faults -- --soak <minutes> [--cycles <n>]

  --quick            transfers of 64 MiB, faults of the carrier for 8 s
  --rate <n>         requests a second (default: ${FULL_SIZE.requestsPerSecond})
  --seed <n>         as an earlier run has printed it
  --soak <minutes>   a mixed load with a cut every 20 s: memory and descriptors
  --cycles <n>       so many sessions, one after another

<names> are separated by commas; by default all.

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

/** @throws UsageError, and what parseArgs() throws */
export function parseOptions(args: readonly string[]): FaultOptions {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: { fault: text, load: text, quick: { type: 'boolean' }, rate: text, seed: text, soak: text, cycles: text },
  });
  return {
    faults: chosen('fault', FAULTS, ({ name }) => name, values.fault),
    loads: chosen('load', LOAD_NAMES, (name) => name, values.load),
    quick: values.quick ?? false,
    rate: values.rate === undefined ? FULL_SIZE.requestsPerSecond : readNumber('rate', values.rate),
    seed: values.seed === undefined ? Date.now() % 1_000_000 : readNumber('seed', values.seed),
    soakMinutes: readNumber('soak', values.soak ?? '0'),
    cycles: readNumber('cycles', values.cycles ?? '0'),
  };
}

function chosen<T>(
  what: string,
  all: readonly T[],
  nameOf: (value: T) => string,
  names: string | undefined,
): readonly T[] {
  if (names === undefined) return all;
  return names.split(',').map((name) => readName(what, name, all, nameOf));
}
