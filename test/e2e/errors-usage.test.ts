import assert from 'node:assert/strict';
import { ERRORS, type ErrorCode } from '../../src/errors.ts';
import { errorSuite, WITH_COMMAND } from '../support/error-suite.ts';
import { service, sleeper } from '../support/failing-workloads.ts';
import { installedCli, runIntercept } from '../support/intercept-run.ts';

const { cases, test } = await errorSuite(async (bench) => {
  const { cluster, namespace } = bench;
  const selectingWeb = { selector: { app: 'web' } };
  await namespace.apply([
    sleeper(cluster.nodeImage, 'web'),
    service('web'),
    service('list', selectingWeb),
    sleeper(cluster.nodeImage, 'zero', { replicas: 0 }),
    service('zero'),
  ]);
  await namespace.rolledOut('deployment/web', 120_000);
  return async () => {};
});

const USAGE: readonly (readonly [readonly string[], ErrorCode, RegExp, RegExp])[] = [
  [['web', '--port', 'abc'], 'USAGE_BAD_PORT', /"abc" is not a port/, /--port 3000:http/],
  [['web', '--port', '0'], 'USAGE_BAD_PORT', /"0" is not a port/, /--port 3000/],
  [['web', '--port', '65536'], 'USAGE_BAD_PORT', /"65536" is not a port/, /--port 3000/],
  [['web', '--port', '3000:'], 'USAGE_BAD_PORT', /"3000:" is not a port/, /--port 3000/],
  [['web', '--port', '3000:80:1'], 'USAGE_BAD_PORT', /"3000:80:1" is not a port/, /--port 3000/],
  [['web', '--port', '3000:Web'], 'USAGE_BAD_PORT', /"3000:Web" is not a port/, /--port 3000/],
  [['web', '--to', ':80'], 'USAGE_BAD_OPTION', /--to ":80" is not host:port/, /--to \[::1\]:3000/],
  [['web', '--to', 'host:99999'], 'USAGE_BAD_OPTION', /--to "host:99999" is not host:port/, /for example/],
  [
    ['web', '--env', 'NOVALUE', ...WITH_COMMAND],
    'USAGE_BAD_OPTION',
    /--env "NOVALUE" is not KEY=VALUE/,
    /for example|--env/,
  ],
  [['web', '--env', '=x', ...WITH_COMMAND], 'USAGE_BAD_OPTION', /--env "=x" is not KEY=VALUE/, /for example|--env/],
  [['web', '--env', 'A=1'], 'USAGE_BAD_OPTION', /--env needs a command/, /for example/],
  [['web', '--tunnel', 'pigeon'], 'USAGE_BAD_OPTION', /'pigeon' is invalid.*auto, proxy, port-forward/, /--help/],
  [['web', '--listen-timeout', 'soon'], 'USAGE_BAD_OPTION', /--listen-timeout "soon" is not a number/, /60/],
  [['web', '--listen-timeout', '-1'], 'USAGE_BAD_OPTION', /--listen-timeout "-1" is not more than 0 seconds/, /60/],
  [['web', '--detach', ...WITH_COMMAND], 'USAGE_BAD_OPTION', /--detach and a command/, /&/],
  [['web', '--mirror', '--replace'], 'USAGE_BAD_OPTION', /--mirror and --replace exclude each other/, /leave one/],
  [['web', '--replace', '--path', '/api'], 'USAGE_BAD_OPTION', /a filter and --replace exclude/, /--capture redirect/],
  [
    ['web', '--replace', '--capture', 'redirect'],
    'USAGE_BAD_OPTION',
    /--replace and --capture redirect/,
    /ports of the app/,
  ],
  [['web', '--mirror', '--http'], 'USAGE_BAD_OPTION', /--mirror and --http exclude each other/, /dropped/],
  [
    ['web', '--mirror', '--no-fallback'],
    'USAGE_BAD_OPTION',
    /--mirror and --no-fallback exclude/,
    /app always answers/,
  ],
  [['web', '--mirror', '--mark'], 'USAGE_BAD_OPTION', /--mirror and --mark exclude/, /app always answers/],
  [['web', '--mirror', '--take-over'], 'USAGE_BAD_OPTION', /--mirror needs no --take-over/, /any number of mirrors/],
  [['web', '--mark'], 'USAGE_BAD_OPTION', /--mark needs a filter/, /bytes/],
  [['web', '--tls-from', 'web-tls'], 'USAGE_BAD_OPTION', /--tls-from needs a filter/, /TLS goes through/],
  [['web', '--capture', 'everything'], 'USAGE_BAD_OPTION', /'everything' is invalid.*service, redirect/, /--help/],
  [['web', '--hold', '61'], 'USAGE_BAD_OPTION', /--hold "61" is more than 60 seconds/, /at most 60/],
  [['web', '--header', ': x'], 'USAGE_BAD_OPTION', /--header ": x"/, /./],
  [['web', '--header', 'x: ~('], 'USAGE_BAD_OPTION', /regular expression "\(": missing closing \)/, /./],
  [['web', '--path', 'api'], 'USAGE_BAD_OPTION', /--path "api"/, /\/api/],
  [['web', '--'], 'USAGE_BAD_OPTION', /no command after --/, /for example/],
  [['web', '--frobnicate'], 'USAGE_BAD_OPTION', /unknown option '--frobnicate'/, /--help/],
  [['web', 'node', 'app.js'], 'USAGE_BAD_OPTION', /too many arguments/, /intercept web -- node app\.js/],
  [[], 'USAGE_BAD_OPTION', /missing required argument 'target'/, /--help/],
  [['Web'], 'USAGE_BAD_TARGET', /"Web" is not a target/, /svc\/web/],
  [['node/web'], 'USAGE_BAD_TARGET', /"node\/web" is not a target/, /svc\/web/],
  [['cronjob/web'], 'TARGET_UNSUPPORTED', /cronjob\/web cannot be intercepted: a CronJob makes Jobs/, /intercept run/],
  [['a/b/c'], 'USAGE_BAD_TARGET', /"a\/b\/c" is not a target/, /svc\/web/],
  [['list', ...WITH_COMMAND], 'USAGE_BAD_OPTION', /"intercept list" takes no command/, /svc\/list/],
  [['list', 'extra'], 'USAGE_BAD_OPTION', /too many arguments for 'list'/, /^intercept list --help/],
  [['leave', 'web', '--all'], 'USAGE_BAD_OPTION', /a target and --all exclude each other/, /./],
  [['leave'], 'SESSION_NOT_FOUND', /no session on this laptop/, /intercept leave web/],
  [['leave', 'web'], 'SESSION_NOT_FOUND', /deployment\/web in errors-\w+ is not intercepted/, /intercept list/],
  [['leave', 'nothing'], 'TARGET_NOT_FOUND', /no workload or service named "nothing" in namespace/, /-n/],
  [['env', 'zero'], 'TARGET_NOT_READY', /deployment\/zero has no ready pod/, /kubectl get pods -n errors-/],
];
cases(
  USAGE.map(([args, code, message, hint]) => ({
    name: `"intercept ${args.join(' ')}" is refused with exit code ${ERRORS[code].exitCode}`,
    args,
    code,
    message,
    hint,
  })),
);

test('a command that is not there is refused with 127 before the cluster is touched', async (bench) => {
  const failure = await bench.fail(['web', '--port', '3000', '--', 'no-such-command', '--flag']);
  assert.equal(failure.code, 'COMMAND_NOT_FOUND');
  assert.equal(ERRORS[failure.code].exitCode, 127);
  assert.match(failure.message, /cannot start "no-such-command": not found/);
  assert.match(failure.hint, /PATH/);
  assert.ok(!failure.run.events.some(({ event }) => event === 'patched'), failure.run.transcript);
});

test('a command that may not be executed is refused before the cluster is touched', async (bench) => {
  const file = await bench.write('not-executable', '#!/bin/sh\n');
  const failure = await bench.fail(['web', '--port', '3000', '--', file]);
  assert.equal(failure.code, 'COMMAND_NOT_FOUND');
  assert.match(failure.message, /cannot start ".*not-executable": not executable/);
  assert.match(failure.hint, /chmod/);
  assert.ok(!failure.run.events.some(({ event }) => event === 'patched'), failure.run.transcript);
});

test('for people an error is three lines on stderr, and stdout stays empty', async (bench) => {
  const { laptop, namespace } = bench;
  const result = await runIntercept(laptop, ['webb'], { namespace });
  assert.equal(result.code, 5);
  assert.equal(result.stdout, '');
  assert.equal(
    result.stderr,
    `error: no workload or service named "webb" in namespace "${namespace.name}"\n` +
      'hint: did you mean web? other namespaces are not searched (-n <namespace>)\n' +
      'code: TARGET_NOT_FOUND\n',
  );
});

test('--debug adds the stack and no token', async (bench) => {
  const { laptop, namespace } = bench;
  const result = await runIntercept(laptop, ['web', '-n', 'kube-system', '--debug'], { namespace });
  assert.equal(result.code, 3);
  assert.match(result.stderr, /code: CLUSTER_FORBIDDEN\n(.*\n)*\s+at /);
  for (const secret of bench.secrets) assert.ok(!`${result.stdout}${result.stderr}`.includes(secret));
});

test('a Service that is named like a command is reached as svc/list, and the command stays the command', async (bench) => {
  const { laptop, namespace } = bench;
  const before = await bench.snapshot();
  const target = await runIntercept(laptop, ['svc/list', '--dry-run', '--port', '3000'], { namespace });
  assert.equal(target.code, 0, target.stderr);
  assert.match(target.stderr, /found deployment\/web behind service\/list/);
  assert.match(target.stdout, /kube-intercept-agent/);
  const command = await runIntercept(laptop, ['list', '--json'], { namespace });
  assert.equal(command.code, 0, command.stderr);
  assert.deepEqual(JSON.parse(command.stdout), []);
  assert.deepEqual(await bench.snapshot(), before);
});

test('a wrong option prints one error for people and exits with 2', async (bench) => {
  const result = await runIntercept(bench.laptop, ['web', '--frobnicate'], { namespace: bench.namespace });
  assert.equal(result.code, 2);
  assert.equal(result.stdout, '');
  assert.match(result.stderr, /^error: unknown option '--frobnicate'\n/);
  assert.ok((await installedCli()).endsWith('intercept.mjs'));
});
