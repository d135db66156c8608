// `npx tsx test/support/readme.ts`: writes the parts of README.md that come from the code; a unit test holds them true.
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { buildProgram } from '../../cli/program.ts';
import { EXCLUDED_PREFIXES, EXCLUDED_VARIABLES } from '../../cli/session/environment.ts';
import { ERRORS } from '../../src/errors.ts';

export const README = fileURLToPath(new URL('../../README.md', import.meta.url));

/** What each error code means to a reader; a new code does not compile without a line here. */
const MEANING: Record<keyof typeof ERRORS, string> = {
  USAGE_BAD_OPTION: 'an option cannot be read, or options exclude each other',
  USAGE_BAD_TARGET: 'the target is not a name',
  USAGE_BAD_PORT:
    'a `--port` cannot be read, names no port of the Service, is in use on the laptop, or one must be named',
  KUBECONFIG_INVALID: 'no usable kubeconfig, context or exec plugin',
  CLUSTER_UNREACHABLE: 'the API server cannot be reached, or its certificate is not trusted',
  CLUSTER_UNAUTHORIZED: 'the credentials are not accepted (any more)',
  CLUSTER_FORBIDDEN: 'a right is missing; the message names verb and resource',
  CLUSTER_REFUSED: 'the API server refused a change (admission, quota, validation); its own words',
  CLUSTER_CONFLICT: 'somebody else changed the object at the same time, several times',
  TARGET_NOT_FOUND: 'no such Service or workload, or no workload behind the Service',
  TARGET_UNSUPPORTED: 'this Service or workload cannot be intercepted; the message says why',
  TARGET_NOT_READY: 'no ready pod; with the pods’ own reason',
  TARGET_REVERTED:
    'somebody (a GitOps tool, a rollback) has put the workload or its Service back while it was intercepted; who, and what to set',
  TARGET_IN_USE:
    'somebody else holds it, or requests that may be the same; named with host, since when, filter and last use',
  ROLLOUT_FAILED: 'pods with the agent do not become ready; the cluster’s reason; rolled back',
  AGENT_IMAGE_UNAVAILABLE: 'the agent’s image cannot be pulled; rolled back',
  TUNNEL_REFUSED: 'the API server or the agent refused the tunnel, or cannot be reached through it',
  TUNNEL_UNAUTHENTICATED: 'one end of the tunnel could not prove itself',
  TUNNEL_VERSION: 'the agent speaks no protocol version of this program',
  TUNNEL_LOST: 'the tunnel broke and did not come back',
  COMMAND_NOT_FOUND: 'the command after `--` cannot be started',
  PROCESS_NOT_LISTENING: 'the command did not listen on the port in time',
  SESSION_NOT_FOUND: '`leave`: nothing is intercepted there',
  RESTORE_INCOMPLETE: 'traffic is back, but an object is not restored yet; the message says why',
  LAPTOP_NEEDS_ROOT: "this changes the laptop's own settings: run it with sudo",
  LAPTOP_IN_USE: 'another `intercept connect` holds this laptop; named with its pid',
  LAPTOP_PORT_TAKEN: 'port 53 of every loopback address we would use is taken',
  FILES_LIMIT: 'the app’s volumes hold more than is copied; the message names the largest',
  FILES_NOT_WRITTEN: 'the copies of the app’s volumes cannot be written (a full disk, no permission)',
  PROTOCOL_BAD_FRAME: 'a bug of ours',
  PROTOCOL_BAD_MESSAGE: 'a bug of ours',
  STREAM_LIMIT: 'a bug of ours',
  INTERNAL: 'a bug of ours',
};

/** The README with its generated parts as the code says now. */
export function generateReadme(text: string): string {
  const help = buildProgram(undefined, () => {})
    .configureHelp({ helpWidth: 80 })
    .helpInformation({ error: false });
  const errors = Object.entries(ERRORS).map(
    ([code, { exitCode }]) => `| ${exitCode} | \`${code}\` | ${MEANING[code as keyof typeof ERRORS]} |`,
  );
  const excluded = [
    ...EXCLUDED_VARIABLES.map((name) => `\`${name}\``),
    ...EXCLUDED_PREFIXES.map((prefix) => `\`${prefix}*\``),
  ];
  return [
    ['help', 'help: intercept --help', `\n\`\`\`\n${help.trimEnd()}\n\`\`\`\n`],
    ['errors', 'errors', `\n| exit | code | meaning |\n|---|---|---|\n${errors.join('\n')}\n`],
    ['excluded', 'excluded', `\n${excluded.join(', ')}.\n`],
  ].reduce(
    (readme, [name, open, content]) => replacePart(readme, `<!-- ${open} -->`, `<!-- /${name} -->`, content ?? ''),
    text,
  );
}

function replacePart(text: string, open: string, close: string, content: string): string {
  const start = text.indexOf(open);
  const end = text.indexOf(close);
  if (start < 0 || end < start) throw new Error(`README has no ${open} … ${close}`);
  return text.slice(0, start + open.length) + content + text.slice(end);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(README, generateReadme(await readFile(README, 'utf8')));
}
