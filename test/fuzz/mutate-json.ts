import type { Random } from './random.ts';

const DEPTH = 2_000;
const STRANGE: readonly string[] = [
  ...['null', 'true', '-1', '0', '1.5', '1e999', '9007199254740993', '""', '"a"', '"\\u0000"', '"\\ud800"', '[]', '{}'],
  ...['[null]', '[[]]', '{"toString":null,"valueOf":null}', '{"__proto__":{"polluted":1}}', '{"length":-1}'],
  ...['{"constructor":{"prototype":{"polluted":1}}}', '["__proto__","polluted"]', '"__proto__"', '"constructor"'],
  ...[
    `"${'a'.repeat(5_000)}"`,
    `${'['.repeat(DEPTH)}${']'.repeat(DEPTH)}`,
    `${'{"a":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}`,
  ],
];

/** One value in a JSON text replaced, taken away, or doubled; the text as it is where it is no JSON. */
export function mutateJson(text: string, random: Random): string {
  const places = valuesIn(text);
  if (places.length === 0) return text;
  const [from, to] = random.pick(places);
  const strange = random.below(3) === 0 ? otherValue(text, places, random) : random.pick(STRANGE);
  return text.slice(0, from) + strange + text.slice(to);
}

function otherValue(text: string, places: readonly (readonly [number, number])[], random: Random): string {
  const [from, to] = random.pick(places);
  return text.slice(from, to);
}

/** Where values begin and end: by brackets and quotes alone. */
function valuesIn(text: string): (readonly [number, number])[] {
  const places: (readonly [number, number])[] = [];
  const opened: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? '';
    if (character === '{' || character === '[') opened.push(at);
    else if (character === '}' || character === ']') places.push([opened.pop() ?? 0, at + 1]);
    else if (character === '"') {
      const from = at;
      do at += text[at] === '\\' ? 2 : 1;
      while (at < text.length && text[at] !== '"');
      const isName = text[at + 1] === ':';
      if (!isName) places.push([from, at + 1]);
    } else if (/[-0-9a-z]/.test(character)) {
      const from = at;
      while (/[-0-9a-zE.+]/.test(text[at + 1] ?? '')) at += 1;
      places.push([from, at + 1]);
    }
  }
  return places;
}
