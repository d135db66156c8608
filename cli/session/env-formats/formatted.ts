/** An environment as text, and what could not be said in it. */
export interface Formatted {
  readonly text: string;
  readonly leftOut: readonly LeftOut[];
}

export interface LeftOut {
  readonly name: string;
  /** For people, behind the name: "holds a line break". Never the value. */
  readonly why: string;
}

export type Variables = Readonly<Record<string, string>>;

/**
 * Formats each variable by itself, in the order of names.
 * @param line the text of one variable, or why there is none
 */
export function formatEach(
  variables: Variables,
  line: (name: string, value: string) => string | { readonly why: string },
): Formatted {
  const lines: string[] = [];
  const leftOut: LeftOut[] = [];
  for (const [name, value] of Object.entries(variables).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const formatted = line(name, value);
    if (typeof formatted === 'string') lines.push(formatted);
    else leftOut.push({ name, why: formatted.why });
  }
  return { text: lines.join(''), leftOut };
}

/** Whether a shell takes the name; Kubernetes also allows dots and dashes. */
export function isShellName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

export const NO_SHELL_NAME = { why: 'is no name that a shell takes' };
