import { Command, CommanderError, Option } from 'commander';
import { InterceptorError } from '../src/errors.ts';
import { VERSION } from '../src/version.ts';
import type { EnvOptions } from './commands/env.ts';
import type { InterceptOptions } from './commands/intercept.ts';
import type { JanitorOptions } from './commands/janitor.ts';
import type { LeaveOptions } from './commands/leave.ts';
import type { ListOptions } from './commands/list.ts';
import type { RunOptions } from './commands/run.ts';
import type { StatusOptions } from './commands/status.ts';
import { asOption, collect, DEFAULT_AGENT_IMAGE, withCluster, withInside, withSession } from './common-options.ts';
import { withMeantCommand } from './did-you-mean.ts';
import { ENV_FORMATS } from './session/env-formats/formats.ts';
import { asInterceptorError, printError } from './ui/print-error.ts';

/**
 * Runs one command line.
 * @param argv as process.argv
 * @returns the exit code (README "Exit codes")
 */
export async function runProgram(argv: readonly string[]): Promise<number> {
  // Everything after the first -- is the developer's command, whatever it looks like.
  const dashes = argv.indexOf('--');
  const ours = dashes < 0 ? argv : argv.slice(0, dashes);
  const command = dashes < 0 ? undefined : argv.slice(dashes + 1);
  const json = ours.includes('--json');
  const debug = ours.includes('--debug');
  let exitCode = 0;
  const set = (code: number): void => {
    exitCode = code;
  };
  const program = buildProgram(command, set);
  try {
    await program.parseAsync([...ours]);
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0; // --help, --version
    const told = error instanceof CommanderError ? badUsage(error, ours) : error;
    const commands = ['help', ...program.commands.map((each) => each.name())];
    const failure = withMeantCommand(told, ours[2], commands);
    if (process.env.KUBE_INTERCEPT_DETACHED === '1') {
      const { reportToStarter } = await import('./session/detach.ts');
      reportToStarter(asInterceptorError(failure));
    }
    return printError(failure, { json, debug, jsonTo: command === undefined ? process.stdout : process.stderr });
  }
}

/** What commander has against the command line, as an error of ours. */
function badUsage(error: CommanderError, ours: readonly string[]): InterceptorError {
  const text = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
  const subcommand = / for '([\w-]+)'/.exec(text)?.[1];
  const excess = error.code === 'commander.excessArguments';
  const help = `intercept ${subcommand === undefined ? '' : `${subcommand} `}--help shows what there is`;
  const taken = error.code === 'commander.missingArgument' ? valueOfPersonal(ours) : undefined;
  if (taken !== undefined)
    return new InterceptorError('USAGE_BAD_OPTION', `${text}: --personal took "${taken}" as its value`, {
      hint: `put the target first: intercept ${taken} --personal; or name both: intercept ${taken} --personal <you>`,
      cause: error,
    });
  const hint =
    excess && subcommand === undefined ? 'a command goes after --, for example: intercept web -- node app.js' : help;
  return new InterceptorError('USAGE_BAD_OPTION', text, { hint, cause: error });
}

/** Its value may be left out, so it takes the word behind it, also one that was meant as the target. */
function valueOfPersonal(ours: readonly string[]): string | undefined {
  const value = ours[ours.lastIndexOf('--personal') + 1];
  return ours.includes('--personal') && value !== undefined && !value.startsWith('-') ? value : undefined;
}

/** The command line's grammar; `--help` of each command comes from here. */
export function buildProgram(command: readonly string[] | undefined, set: (exitCode: number) => void): Command {
  const program = new Command('intercept')
    .usage(
      '<target> [options] [-- command …]\n       intercept run | shell | connect | leave | list | status | env | janitor',
    )
    .description('Move the traffic of a Kubernetes Service to a process on your laptop, until the command ends.')
    .argument('<target>', 'web, svc/web, deploy/web, sts/web, ds/web, rs/web or rollout/web')
    .enablePositionalOptions()
    .option(
      '-p, --port <local[:port]>',
      'laptop port, and the Service port by name or number (5353:53/udp); may be repeated',
      collect,
    )
    .option('--service <name>', 'which Service, where the workload has several; may be repeated', collect)
    .option('--container <name>', 'which container is the app')
    .option('--header <match>', "only requests with this field: 'x-user: dev-1', 'x-user: ~^dev-', x-user", collect)
    .option('--path <match>', "only requests below /api; exactly: =/api; by pattern: '~^/v[12]/'", collect)
    .option('--method <match>', 'only requests of this method', collect)
    .option('--query <match>', "only requests with this parameter: user=dev-1, 'user=~^dev-', user", collect)
    .option('--host <match>', 'only requests for this host', collect)
    .option('--any', 'one of the conditions is enough (default: all must hold)')
    .option('--personal [user]', 'only requests with your key; prints how to send them (default: your user name)')
    .option('--mirror', 'take copies: the app answers, what the process answers is dropped')
    .option('--replace', 'take the app out of its pods meanwhile: workers, headless Services, direct callers')
    .addOption(
      new Option('--capture <how>', 'how callers are led to the agent (default: service)').choices([
        'service',
        'redirect',
      ]),
    )
    .option('--take-over', 'end intercepts in the way whose holder is gone, or has not used them for a minute')
    .option('--hold <seconds>', 'how long callers wait for a process that restarts', '10')
    .option('--no-fallback', 'answer 503 while the process is down, instead of leaving requests to the app')
    .option('--mark', 'mark responses of the process with x-intercept-by')
    .option('--tls-from <secret>', 'end TLS of callers to read their requests; a Secret, or a /folder in the pod')
    .option(
      '--no-direct',
      'call your other intercepts through the cluster, not directly (run, shell and connect: always directly)',
    )
    .option('--to <host[:port]>', 'send to another address than 127.0.0.1')
    .option('--http', 'speak HTTP to the process: log each request, hold requests while it restarts')
    .option('--detach', 'go to the background once ready (without a command)')
    .option('--keep-agent', 'leave the pass-through agent in place at the end, for fast re-entry')
    .option('--listen-timeout <seconds>', 'how long the command may take to listen', '120')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .exitOverride()
    .configureOutput({ outputError: () => {} }) // printError() tells it, as every other error
    .addHelpText(
      'after',
      `
Examples:
  $ intercept web --port 3000 -- npm run dev   run the command and give it the traffic of service/web
  $ intercept web --port 3000:http             the same for a process you start yourself (Ctrl-C ends)
  $ intercept web --personal -- npm run dev    only your own requests: colleagues go on undisturbed
  $ intercept run web -- npm test              run the command as if in the pod, without taking traffic
  $ intercept leave web                        give everything back, from any machine
  $ intercept svc/list                         a Service that is named like a command`,
    );

  const noCommand = (name: string): void => {
    if (command !== undefined)
      throw new InterceptorError('USAGE_BAD_OPTION', `"intercept ${name}" takes no command after --`, {
        hint: `a Service of that name is reached as svc/${name}`,
      });
  };

  program.helpCommand('help [command]', 'show help');
  program.command('version', { hidden: true }).action(() => {
    noCommand('version');
    process.stdout.write(`${VERSION}\n`);
  });

  withCluster(withSession(withInside(program))).action(async (target: string, options: InterceptOptions) => {
    const { intercept } = await import('./commands/intercept.ts');
    set(await intercept(target, { ...options, ...(command === undefined ? {} : { command }) }));
  });

  const withCommand = (options: RunOptions): RunOptions => ({
    ...options,
    ...(command === undefined ? {} : { command }),
  });

  withCluster(
    withSession(
      withInside(
        program
          .command('run')
          .summary('run a command inside, without taking traffic')
          .description(
            'Run a command as if it ran in a pod of the workload, without taking its traffic; without a target in a small pod of its own.',
          )
          .usage('[target] [options] -- command …')
          .argument('[target]', 'web, svc/web, deploy/web, sts/web, ds/web, rs/web or rollout/web')
          .addOption(asOption()),
      ),
    ),
  ).action(async (target: string | undefined, options: RunOptions) => {
    const { run } = await import('./commands/run.ts');
    set(await run(target, withCommand(options)));
  });

  withCluster(
    withSession(
      withInside(
        program
          .command('shell')
          .summary('open a shell inside')
          .description(
            'Open your shell as if it ran in a pod of the workload; without a target in a small pod of its own.',
          )
          .argument('[target]', 'as for run')
          .addOption(asOption()),
      ),
    ),
  ).action(async (target: string | undefined, options: RunOptions) => {
    const { shell } = await import('./commands/shell.ts');
    set(await shell(target, withCommand(options)));
  });

  withCluster(
    withSession(
      withInside(
        program
          .command('connect')
          .summary('put the whole laptop inside (sudo), or open a proxy')
          .description(
            'Put the whole laptop inside the cluster until Ctrl-C (with sudo); with --network proxy open a proxy that leads there.',
          )
          .addOption(asOption()),
        ['proxy'],
      ),
    ),
  ).action(async (options: RunOptions) => {
    const { connect } = await import('./commands/connect.ts');
    set(await connect(withCommand(options)));
  });

  withCluster(
    program
      .command('leave')
      .summary('end intercepts and restore the objects')
      .description('End an intercept and restore what it changed; works from any machine with the kubeconfig alone.')
      .argument('[target]', 'as for an intercept; without it, the only session on this laptop')
      .option(
        '--all',
        'all your sessions on this laptop (with -n or --context: of that), and what sessions that are gone left in the namespace',
      )
      .option('--everyone', 'the sessions of others, too')
      .option('--service <name>', 'which Service, where the workload has several')
      .option('--json', 'print the result as JSON'),
  ).action(async (target: string | undefined, options: LeaveOptions) => {
    noCommand('leave');
    const { leave } = await import('./commands/leave.ts');
    set(await leave(target, options));
  });

  withCluster(
    program
      .command('list')
      .summary('intercepted workloads and who holds them')
      .description('List the intercepted workloads of a namespace and who holds them, as the cluster tells it.')
      .option('-A, --all-namespaces', 'all namespaces')
      .option('--json', 'print JSON'),
  ).action(async (options: ListOptions) => {
    noCommand('list');
    const { list } = await import('./commands/list.ts');
    set(await list(options));
  });

  program
    .command('status')
    .summary('your sessions on this laptop')
    .description('Show your sessions on this laptop: tunnels, routes, whether the process listens.')
    .option('--json', 'print JSON')
    .option('--debug', 'show stack traces')
    .action(async (options: StatusOptions) => {
      noCommand('status');
      const { status } = await import('./commands/status.ts');
      set(await status(options));
    });

  withCluster(
    program
      .command('env')
      .summary('print the environment of the app')
      .description('Print the environment of the app; from its agent, else from a running pod.')
      .argument('<target>', 'as for an intercept')
      .option('--service <name>', 'which Service, where the workload has several')
      .addOption(new Option('--format <format>', 'for whom (default: dotenv)').choices(Object.keys(ENV_FORMATS)))
      .option('--json', 'short for --format json'),
  ).action(async (target: string, options: EnvOptions) => {
    noCommand('env');
    const { env } = await import('./commands/env.ts');
    set(await env(target, options));
  });

  withCluster(
    program
      .command('janitor')
      .summary('restore what nobody owns any more, in the cluster')
      .description(
        'Restore what nobody owns any more in a namespace, again and again; --manifest: what runs it in the cluster.',
      )
      .option('--manifest', 'print the manifest, for kubectl apply -f -')
      .option('--image <image>', 'Node image of the manifest', DEFAULT_AGENT_IMAGE),
  ).action(async (options: JanitorOptions) => {
    noCommand('janitor');
    const { janitor } = await import('./commands/janitor.ts');
    set(await janitor(options));
  });
  return program;
}
