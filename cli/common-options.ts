import { type Command, Option } from 'commander';

/** The stock image that runs the agent; `--agent-image` names another. */
export const DEFAULT_AGENT_IMAGE = 'node:22-slim';

/** Options that every command which talks to a cluster takes. */
export interface ClusterOptions {
  readonly namespace?: string;
  readonly context?: string;
  readonly kubeconfig?: string;
}

/** Of an option that may be repeated: all its values, in order. */
export const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

/** Of commands that may have a pod of their own. */
export function asOption(): Option {
  return new Option('--as <serviceaccount>', 'service account of the pod of its own');
}

/** How the process stands inside the cluster. */
export function withInside(
  command: Command,
  modes: readonly string[] = ['auto', 'namespace', 'proxy', 'none'],
): Command {
  const how = modes.length > 1 ? 'how the command is put inside (default: auto)' : 'only open a proxy, without sudo';
  return command
    .option('-e, --env <KEY=VALUE>', 'set a variable of the command over the pod’s; may be repeated', collect)
    .option('--env-file <file>', 'also write the pod’s environment as dotenv (mode 0600), for as long as the session')
    .addOption(new Option('--network <mode>', how).choices([...modes]))
    .addOption(
      new Option(
        '--egress <which>',
        'what leaves from the pod: all, or only what is of the cluster (default: pod)',
      ).choices(['pod', 'cluster']),
    )
    .option('--local-host <glob>', 'hosts that are reached from the laptop; may be repeated', collect)
    .option('--local-cidr <cidr>', 'addresses that are reached from the laptop; may be repeated', collect)
    .option('--to-pod <[local:]port>', 'a port of the pod’s localhost on the laptop’s; may be repeated', collect)
    .option('--dns-local <suffix>', 'names that only the laptop’s resolver is asked for; may be repeated', collect)
    .option('--dns-cluster <suffix>', 'names that only the cluster is asked for; may be repeated', collect)
    .addOption(
      new Option(
        '--files <mode>',
        'copies of the pod’s volumes at $INTERCEPT_ROOT (default: copy, with a command)',
      ).choices(['off', 'copy']),
    )
    .option('--files-exclude <glob>', 'paths in the pod that are not copied; may be repeated', collect);
}

/** What every command with a session of its own takes. */
export function withSession(command: Command): Command {
  return command
    .option('--dry-run', 'print the exact changes and make none')
    .option('--agent-image <image>', `Node image that runs the agent (default: ${DEFAULT_AGENT_IMAGE})`)
    .addOption(
      new Option('--tunnel <carrier>', 'how to reach the agents')
        .choices(['auto', 'proxy', 'port-forward'])
        .default('auto'),
    )
    .option('--resume <seconds>', 'what is open waits so long for a lost network; 0: it is cut at once (default: 30)')
    .option('--json', 'report events as JSON lines');
}

/** ClusterOptions, and --debug. */
export function withCluster(command: Command): Command {
  return command
    .option('-n, --namespace <name>', 'namespace (default: the context’s)')
    .option('--context <name>', 'context of the kubeconfig')
    .option('--kubeconfig <file>', 'kubeconfig file')
    .option('--debug', 'show stack traces and the log');
}
