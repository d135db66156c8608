import { CARRIER_FAULTS } from './carrier-faults.ts';
import { CLUSTER_FAULTS } from './cluster-faults.ts';
import type { Fault } from './fault.ts';
import { SESSION_FAULTS } from './session-faults.ts';

/** Every fault of the matrix. */
export const FAULTS: readonly Fault[] = [...SESSION_FAULTS, ...CARRIER_FAULTS, ...CLUSTER_FAULTS];

export function faultNamed(name: string): Fault {
  const fault = FAULTS.find((candidate) => candidate.name === name);
  if (fault === undefined) throw new Error(`no fault is named ${name}`);
  return fault;
}

/** Numbers from 0 to below 1 that a seed decides (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
