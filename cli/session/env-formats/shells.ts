import { formatDotenv } from './dotenv.ts';
import { type Formatted, formatEach, isShellName, NO_SHELL_NAME, type Variables } from './formatted.ts';

/** bash refuses to set these, and a POSIX shell ends at the attempt. */
const BASH_READ_ONLY: readonly string[] = ['UID', 'EUID', 'PPID', 'BASHOPTS', 'BASH_VERSINFO', 'SHELLOPTS'];
/** fish refuses to set these (fish 3.6, "Special variables"). */
const FISH_READ_ONLY: readonly string[] = [
  '_',
  'EUID',
  'FISH_VERSION',
  'PWD',
  'SHLVL',
  'fish_kill_signal',
  'fish_killring',
  'fish_pid',
  'history',
  'hostname',
  'pipestatus',
  'status',
  'status_generation',
  'umask',
  'version',
];

/** A dotenv file: see formatDotenv() for who reads what. Pure. */
export function formatAsDotenv(variables: Variables): Formatted {
  return formatEach(variables, (name, value) => (isShellName(name) ? formatDotenv({ [name]: value }) : NO_SHELL_NAME));
}

/** `eval "$(intercept env web --format sh)"` in any POSIX shell. Pure. */
export function formatSh(variables: Variables): Formatted {
  return formatEach(variables, (name, value) => {
    if (!isShellName(name)) return NO_SHELL_NAME;
    if (BASH_READ_ONLY.includes(name)) return { why: 'is read-only in bash' };
    return `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`;
  });
}

/** `intercept env web --format fish | source`. Pure. */
export function formatFish(variables: Variables): Formatted {
  return formatEach(variables, (name, value) => {
    if (!isShellName(name)) return NO_SHELL_NAME;
    if (FISH_READ_ONLY.includes(name)) return { why: 'is read-only in fish' };
    return `set -gx ${name} '${value.replace(/[\\']/g, '\\$&')}'\n`;
  });
}
