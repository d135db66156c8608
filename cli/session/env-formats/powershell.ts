import { type Formatted, formatEach, type Variables } from './formatted.ts';

/** PowerShell takes typographic quotes for quotes, too (about_Quoting_Rules; tokenizer IsSingleQuote, IsDoubleQuote). */
const SINGLE_QUOTES = /['\u2018-\u201b]/g;
const ESCAPED_IN_DOUBLE_QUOTES = /[`$"\u201c-\u201e]/g;

/**
 * `intercept env web --format powershell | Invoke-Expression`: each variable is one line, since a pipe hands on lines. An
 * empty value removes the variable before PowerShell 7.5. Pure.
 */
export function formatPowershell(variables: Variables): Formatted {
  return formatEach(variables, (name, value) => {
    if (!/^[A-Za-z0-9_.-]+$/.test(name)) return { why: 'is no name that PowerShell takes' };
    return `\${env:${name}} = ${quotePowershell(value)}\n`;
  });
}

function quotePowershell(value: string): string {
  if (!/[\r\n]/.test(value)) return `'${value.replace(SINGLE_QUOTES, '$&$&')}'`;
  const escaped = value.replace(ESCAPED_IN_DOUBLE_QUOTES, '`$&').replaceAll('\n', '`n').replaceAll('\r', '`r');
  return `"${escaped}"`;
}
