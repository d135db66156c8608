import { formatDocker } from './docker.ts';
import type { Formatted, Variables } from './formatted.ts';
import { formatJson, formatVscode } from './json.ts';
import { formatPowershell } from './powershell.ts';
import { formatAsDotenv, formatFish, formatSh } from './shells.ts';

/** `--format` of `intercept env`. */
export const ENV_FORMATS = {
  dotenv: formatAsDotenv,
  json: formatJson,
  sh: formatSh,
  fish: formatFish,
  powershell: formatPowershell,
  docker: formatDocker,
  vscode: formatVscode,
} as const satisfies Record<string, (variables: Variables) => Formatted>;

export type EnvFormat = keyof typeof ENV_FORMATS;

export function isEnvFormat(text: string): text is EnvFormat {
  return Object.hasOwn(ENV_FORMATS, text);
}
