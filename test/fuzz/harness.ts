import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { mutate } from './mutate.ts';
import { mutateJson } from './mutate-json.ts';
import { Random } from './random.ts';
import type { Target } from './target.ts';

/** A target's folder in the corpus. */
const folderOf = (name: string): string => join(CORPUS, name.toLowerCase().replaceAll(/[^a-z0-9.]+/g, '-'));
const CORPUS = new URL('./corpus/', import.meta.url).pathname;
/** No input of this size may take so long, however slow the machine. */
const MAX_INPUT_MS = 20_000;

/** How long a target is fed: whichever is over first. */
export interface Budget {
  readonly seconds: number;
  readonly runs: number;
}

export interface Outcome {
  readonly inputs: number;
  readonly kept: number;
}

/**
 * Feeds a target: first what has once been found, then the seeds, then mutations of both. An input that breaks something is
 * written to the corpus, so that it is fed first from then on.
 * @throws Error naming the input's file and the seed
 */
export async function fuzz(target: Target, budget: Budget, seed: number): Promise<Outcome> {
  const random = new Random(seed);
  const kept = readCorpus(target.name);
  const known = [...kept, ...target.seeds.map((input) => Buffer.from(input)), Buffer.alloc(0)];
  const tokens = (target.tokens ?? []).map((token) => Buffer.from(token, 'latin1'));
  const endMs = performance.now() + budget.seconds * 1000;
  const stray = watchStrays();
  const next = (): Buffer => {
    const from = random.pick(known);
    if (target.isJson !== true || random.below(3) === 0) return mutate(from, random, known, tokens);
    return Buffer.from(mutateJson(mutateJson(from.toString('utf8'), random), random));
  };
  let inputs = 0;
  try {
    for (; inputs < known.length || (inputs < budget.runs && performance.now() < endMs); inputs += 1) {
      const input = known[inputs] ?? next();
      try {
        await feed(target, input, random);
        stray.check();
      } catch (failure) {
        const file = keep(target.name, input);
        throw new Error(`${target.name}: ${file} (seed ${seed}) breaks it`, { cause: failure });
      }
    }
    await target.close?.();
    stray.check();
  } finally {
    stray.stop();
  }
  return { inputs, kept: kept.length };
}

async function feed(target: Target, input: Buffer, random: Random): Promise<void> {
  const startMs = performance.now();
  const done = target.run(Buffer.from(input), random);
  if (done !== undefined) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${MAX_INPUT_MS} ms`)), MAX_INPUT_MS);
    });
    await Promise.race([done, late]).finally(() => clearTimeout(timer));
  }
  const tookMs = performance.now() - startMs;
  if (tookMs > MAX_INPUT_MS) throw new Error(`took ${Math.round(tookMs)} ms`);
}

/** Errors that nobody caught are the target's, too. */
function watchStrays(): { check(): void; stop(): void } {
  let first: { readonly failure: unknown } | undefined;
  const note = (failure: unknown): void => {
    first ??= { failure };
  };
  process.on('uncaughtException', note);
  process.on('unhandledRejection', note);
  return {
    check: () => {
      if (first !== undefined) throw first.failure;
    },
    stop: () => {
      process.off('uncaughtException', note);
      process.off('unhandledRejection', note);
    },
  };
}

function readCorpus(name: string): Buffer[] {
  const folder = folderOf(name);
  try {
    return readdirSync(folder).map((file) => readFileSync(join(folder, file)));
  } catch {
    return []; // ENOENT: nothing has been found yet
  }
}

function keep(name: string, input: Buffer): string {
  const folder = folderOf(name);
  mkdirSync(folder, { recursive: true });
  const file = `${createHash('sha256').update(input).digest('hex').slice(0, 16)}.bin`;
  writeFileSync(join(folder, file), input);
  return relative(process.cwd(), join(folder, file));
}
