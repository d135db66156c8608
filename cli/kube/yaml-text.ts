/** Texts that YAML would read as something else, or not at all, when left bare. */
const BARE = /^(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z_/][A-Za-z0-9_./@-]*$/i;

/**
 * A JSON value as lines of YAML, block style, fields in the object's order. Texts are JSON strings where they are not
 * plain words, so every line is one value.
 */
export function yamlLines(value: unknown, indent = ''): string[] {
  if (Array.isArray(value)) {
    if (value.length === 0) return [`${indent}[]`];
    return value.flatMap((item: unknown) => {
      const lines = yamlLines(item, `${indent}  `);
      return lines.map((line, index) => (index === 0 ? `${indent}- ${line.slice(indent.length + 2)}` : line));
    });
  }
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined);
    if (fields.length === 0) return [`${indent}{}`];
    return fields.flatMap(([name, field]) => {
      const key = `${indent}${scalarText(name)}:`;
      const isNested = typeof field === 'object' && field !== null && Object.keys(field).length > 0;
      if (!isNested) return [`${key} ${yamlLines(field).join('')}`];
      // lists are indented as kubectl prints them: level with their field
      return [key, ...yamlLines(field, Array.isArray(field) ? indent : `${indent}  `)];
    });
  }
  return [`${indent}${scalarText(value)}`];
}

function scalarText(value: unknown): string {
  return typeof value === 'string' && BARE.test(value) ? value : JSON.stringify(value);
}
