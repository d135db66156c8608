import type { Random } from './random.ts';

const INTERESTING_BYTES = [0x00, 0x01, 0x0a, 0x0d, 0x20, 0x22, 0x3a, 0x7f, 0x80, 0xc0, 0xff];
const INTERESTING_LENGTHS = [0, 1, 63, 64, 127, 255, 256, 0x3fff, 0x4000, 0xffff, 0x10000, 0x7fffffff, 0xffffffff];
const MAX_STEPS = 6;
/** Inputs stay small: what only a large input shows has tests of its own (limits*.test.ts). */
export const MAX_INPUT_BYTES = 8 * 1024;

type Mutation = (input: Buffer, random: Random, others: readonly Buffer[], tokens: readonly Buffer[]) => Buffer;

const MUTATIONS: readonly Mutation[] = [
  (input, random) => replaced(input, random, Buffer.from([random.pick(INTERESTING_BYTES)]), 1),
  (input, random) => replaced(input, random, Buffer.from([random.below(256)]), 1),
  flipBit,
  (input, random) => replaced(input, random, Buffer.alloc(0), 1 + random.below(16)),
  (input, random) => replaced(input, random, random.bytes(1 + random.below(8)), 0),
  (input, random) => replaced(input, random, lengthBytes(random), random.below(5)),
  (input, random, _others, tokens) => (tokens.length === 0 ? input : replaced(input, random, random.pick(tokens), 0)),
  (input, random, _others, tokens) =>
    tokens.length === 0 ? input : replaced(input, random, random.pick(tokens), random.below(8)),
  repeatPart,
  (input, random, others) => spliced(input, random.pick(others), random),
  (input, random) => input.subarray(0, random.below(input.byteLength + 1)),
];

/** One to a few changes of an input. @param others what else is known, to be spliced with; at least one */
export function mutate(input: Buffer, random: Random, others: readonly Buffer[], tokens: readonly Buffer[]): Buffer {
  let mutated = Buffer.from(input);
  for (let steps = 1 + random.below(MAX_STEPS); steps > 0; steps -= 1) {
    mutated = Buffer.from(random.pick(MUTATIONS)(mutated, random, others, tokens).subarray(0, MAX_INPUT_BYTES));
  }
  return mutated;
}

/** The input in pieces, cut at random. */
export function piecesOf(input: Buffer, random: Random, mostCuts = 6): Buffer[] {
  const cuts = Array.from({ length: random.below(mostCuts + 1) }, () => random.below(input.byteLength + 1));
  const places = [...new Set([0, ...cuts, input.byteLength])].sort((a, b) => a - b);
  return places.slice(1).map((end, at) => input.subarray(places[at], end));
}

function replaced(input: Buffer, random: Random, by: Buffer, length: number): Buffer {
  const at = random.below(input.byteLength + 1);
  return Buffer.concat([input.subarray(0, at), by, input.subarray(at + length)]);
}

function flipBit(input: Buffer, random: Random): Buffer {
  if (input.byteLength === 0) return input;
  const at = random.below(input.byteLength);
  input.writeUInt8((input[at] ?? 0) ^ (1 << random.below(8)), at);
  return input;
}

/** A number as lengths are written: one to four bytes, the highest first. */
function lengthBytes(random: Random): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(random.pick(INTERESTING_LENGTHS));
  return bytes.subarray(random.below(4));
}

function repeatPart(input: Buffer, random: Random): Buffer {
  const from = random.below(input.byteLength + 1);
  const part = input.subarray(from, from + 1 + random.below(64));
  const times = 1 + random.below(8);
  return Buffer.concat([input.subarray(0, from), ...Array.from({ length: times }, () => part), input.subarray(from)]);
}

function spliced(input: Buffer, other: Buffer, random: Random): Buffer {
  return Buffer.concat([
    input.subarray(0, random.below(input.byteLength + 1)),
    other.subarray(random.below(other.byteLength + 1)),
  ]);
}
