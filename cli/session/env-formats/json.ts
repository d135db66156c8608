import { type Formatted, formatEach, type Variables } from './formatted.ts';

/** One object, names in order. Pure. */
export function formatJson(variables: Variables): Formatted {
  return { text: `${JSON.stringify(sorted(variables), null, 2)}\n`, leftOut: [] };
}

/**
 * What goes into a configuration of .vscode/launch.json. VS Code replaces `${…}` in it and knows no way to write one: such
 * values are left out. Pure.
 */
export function formatVscode(variables: Variables): Formatted {
  const { leftOut } = formatEach(variables, (_, value) =>
    /\$\{[^}]*\}/.test(value) ? { why: 'holds a reference that VS Code would replace' } : '',
  );
  const kept = Object.entries(sorted(variables)).filter(([name]) => !leftOut.some((left) => left.name === name));
  return { text: `${JSON.stringify({ env: Object.fromEntries(kept) }, null, 2)}\n`, leftOut };
}

function sorted(variables: Variables): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).sort(([a], [b]) => (a < b ? -1 : 1)));
}
