import assert from 'node:assert/strict';
import { chown, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { stateFolder } from '../../cli/session/state-files.ts';
import { bundleProgram } from '../support/bundle.ts';
import { type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { type Laptop, otherUserOf } from '../support/laptop.ts';
import type { Targets } from '../support/programs/hostile-user.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { parseAgentSecret, textsOfCluster } from '../support/told.ts';
import { guardianOn, processesOn, untilNoProcess } from '../support/traces.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

const TO_POD_PORT = 18_099;
const POD_CODE_PORT = 8099;
const CANARY = {
  env: 'canary-of-a-variable-1',
  secret: 'canary-of-a-secret-2',
  header: 'canary-of-a-header-3',
  query: 'canary-of-a-query-4',
  body: 'canary-of-a-body-5',
  file: 'canary-of-a-file-6',
} as const;

/** The app, and a server that only the pod itself can reach, with something that no page should do. */
const CODE = `
require('node:http').createServer((q, s) => { quits += q.url === '/quit' ? 1 : 0; s.end(String(quits)); }).listen(${POD_CODE_PORT}, '127.0.0.1');
let quits = 0;
`;

describe.skipIf(cluster === undefined)('a session on a laptop with another user, and with a web page open', () => {
  let scene: Scene;
  let run: InterceptRun;
  let stranger: Laptop;
  let targets: Targets;
  let password: string;
  /** The developer's. */
  let token: string;

  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'hostile');
    const { laptop, namespace } = scene;
    await namespace.apply([
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'app' }, stringData: { password: CANARY.secret } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'file' }, stringData: { 'file.txt': CANARY.file } },
    ]);
    await scene.deploy({
      name: 'web',
      replicas: 1,
      code: CODE + APP_CODE,
      env: [
        { name: 'CANARY', value: CANARY.env },
        { name: 'CANARY_SECRET', valueFrom: { secretKeyRef: { name: 'app', key: 'password' } } },
      ],
      container: { volumeMounts: [{ name: 'file', mountPath: '/etc/app', readOnly: true }] },
      podSpec: { volumes: [{ name: 'file', secret: { secretName: 'file' } }] },
    });
    stranger = otherUserOf(laptop, 'games');
    await write('hostile-user.mjs', await bundleProgram('hostile-user'), 0o644);
    token = JSON.parse(namespace.kubeconfigFor(laptop.apiUrl)).users[0].user.token;
    run = await startIntercept(
      laptop,
      [
        ...['web', '--port', '3000', '--network', 'proxy', '--to-pod', `${TO_POD_PORT}:${POD_CODE_PORT}`, '--http'],
        ...['--env-file', 'pod.env', '--files', 'copy', '--debug', '--env', 'WHO=laptop', '--env', 'PORT=3000'],
        ...['--', 'node', scene.processFile],
      ],
      { namespace, env: { KUBECONFIG: await execKubeconfig() } },
    );
    await run.until('ready', 120_000);
    await findTargets();
  });
  afterAll(async () => {
    run?.child.kill('SIGTERM');
    await run?.exited;
    await scene?.[Symbol.asyncDispose]();
  });

  async function write(name: string, text: string, mode: number): Promise<string> {
    const file = join(scene.laptop.home, name);
    await writeFile(file, text, { mode });
    await chown(file, scene.laptop.uid, scene.laptop.uid);
    return file;
  }

  /** A kubeconfig whose token comes from a plugin that says it aloud. */
  async function execKubeconfig(): Promise<string> {
    const config = JSON.parse(scene.namespace.kubeconfigFor(scene.laptop.apiUrl));
    const credential = {
      apiVersion: 'client.authentication.k8s.io/v1beta1',
      kind: 'ExecCredential',
      status: { token },
    };
    const script = `#!/bin/sh\necho "plugin: token=${token}" >&2\ncat <<'END'\n${JSON.stringify(credential)}\nEND\n`;
    const command = await write('plugin', script, 0o700);
    const { apiVersion } = credential;
    config.users[0].user = { exec: { apiVersion, command, interactiveMode: 'Never' } };
    return await write('exec.kubeconfig', JSON.stringify(config), 0o600);
  }

  async function findTargets(): Promise<void> {
    const { laptop } = scene;
    const environment = JSON.parse(await getFromProcess('/env')) as Record<string, string>;
    const proxy = new URL(environment.ALL_PROXY ?? '');
    password = proxy.password;
    assert.ok(password.length >= 20);
    const state = stateFolder({ HOME: laptop.home, XDG_STATE_HOME: join(laptop.home, '.local/state') });
    const { stdout } = await laptop.run(['sh', '-c', `cat '${state}'/sessions/*.json`]);
    const record = JSON.parse(stdout) as { socket: string; direct: { socket: string }; sessionId: string };
    const root = environment.INTERCEPT_ROOT ?? '';
    assert.ok(root !== '');
    const pids = (await processesOn(laptop)).map(({ pid }) => pid);
    assert.ok(pids.includes(await guardianOn(laptop)) && pids.length >= 3);
    targets = {
      proxyPort: Number(proxy.port),
      toPodPort: TO_POD_PORT,
      pids,
      folders: [state, join(state, 'sessions'), join(state, 'run'), root],
      files: [
        join(state, 'sessions', `${record.sessionId}.json`),
        join(root, 'etc/app/file.txt'),
        join(laptop.home, 'pod.env'),
        join(laptop.home, 'exec.kubeconfig'),
      ],
      sockets: [record.socket, record.direct.socket],
    };
  }

  async function getFromProcess(path: string): Promise<string> {
    const code = `fetch('http://127.0.0.1:3000${path}').then((r) => r.text()).then((t) => process.stdout.write(t))`;
    return (await scene.laptop.run([process.execPath, '-e', code])).stdout;
  }

  async function attempts<Outcome>(
    who: Laptop,
    as: 'user' | 'page',
    names?: readonly string[],
  ): Promise<Record<string, Outcome>> {
    const file = join(scene.laptop.home, 'hostile-user.mjs');
    const text = await readFile(file, 'utf8');
    // The program is on stdin of nobody's: the home of the user is closed to others.
    const command = [process.execPath, '--input-type=module', '-', as, JSON.stringify(targets)];
    if (names !== undefined) command.push(JSON.stringify(names));
    const { code, stdout, stderr } = await who.run(command, { cwd: '/', input: text, timeoutMs: 120_000 });
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  }

  async function assertUntroubled(): Promise<void> {
    const tally = await scene.call('web', 20);
    assert.deepEqual([tally.by, tally.failures], [{ laptop: 20 }, []], run.transcript);
    assert.ok(!run.events.some(({ event }) => event === 'disconnected'), run.transcript);
    assert.equal(run.child.exitCode, null);
  }

  test('every attempt of the other user is refused', async () => {
    const outcomes = await attempts<string & string[]>(stranger, 'user');
    const denied = (count: number): string[] => Array.from({ length: count }, () => 'EACCES');
    const { 'command lines of all': commandLines = '', ...refused } = outcomes;
    const proxyRefusal = /^HTTP\/1\.1 407 Proxy Authentication Required\r\n/;
    const wanted: Record<string, RegExp | string | string[]> = {
      'SOCKS5 without a password': '\x05\xff',
      'SOCKS5 with a wrong password': '\x05\x02\x01\x01',
      'SOCKS5, the way of the preload': '\x05\xff',
      SOCKS4: '\0\x5d\0\0\0\0\0\0',
      'HTTP CONNECT': proxyRefusal,
      'HTTP CONNECT with a wrong password': proxyRefusal,
      'HTTP through the proxy': proxyRefusal,
      'WebSocket through the proxy': proxyRefusal,
      'DNS over TCP': /^(closed without a word|ECONNRESET)$/,
      'DNS over UDP': 'no answer',
      'a port of the pod': /^(closed without a word|ECONNRESET)$/,
      'sockets of the session': denied(targets.sockets.length),
      'folders of the session': denied(targets.folders.length),
      'files of the session': denied(targets.files.length),
      'a file in its folders': denied(targets.folders.length),
      'environments of its processes': denied(targets.pids.length),
      'descriptors of its processes': denied(targets.pids.length),
      'memory of its processes': denied(targets.pids.length),
      'ending its processes': targets.pids.map(() => 'EPERM'),
    };
    assert.deepEqual(Object.keys(refused).sort(), Object.keys(wanted).sort());
    for (const [name, outcome] of Object.entries(refused)) {
      const expected = wanted[name];
      if (expected instanceof RegExp) assert.match(outcome, expected, name);
      else assert.deepEqual(outcome, expected, name);
    }
    const secrets = [...Object.values(CANARY), password, token, await agentKey()];
    assert.match(commandLines, /guardian\.mjs/); // it sees them
    for (const secret of secrets) assert.ok(!commandLines.includes(secret), secret);
    await assertUntroubled();
  });

  test('the user’s own programs are let in where the other’s are not', async () => {
    const open = ['HTTP through the proxy', 'DNS over UDP', 'a port of the pod'];
    const outcomes = await attempts<string>(scene.laptop, 'user', open);
    assert.match(outcomes['HTTP through the proxy'] ?? '', /^HTTP\/1\.1 200 /);
    assert.match(outcomes['DNS over UDP'] ?? '', /^answered: /);
    assert.match(outcomes['a port of the pod'] ?? '', /^HTTP\/1\.1 200 /);
  });

  test('no port does what a web page asks of it', async () => {
    const outcomes = await attempts<string[]>(scene.laptop, 'page');
    assert.ok(Object.keys(outcomes).length >= 8);
    for (const [name, [proxy = '', toPod = '']] of Object.entries(outcomes)) {
      assert.match(proxy, /^HTTP\/1\.1 400 Bad Request\r\n(?![\s\S]*HTTP\/1\.1 )/, name);
      assert.match(toPod, /^HTTP\/1\.1 403 Forbidden\r\n(?![\s\S]*HTTP\/1\.1 )/, name);
      assert.doesNotMatch(proxy + toPod, /access-control-/i, name);
    }
    const code = `fetch('http://127.0.0.1:${TO_POD_PORT}/').then((r) => r.text()).then((t) => process.stdout.write(t))`;
    assert.equal((await scene.laptop.run([process.execPath, '-e', code])).stdout, '0'); // nobody has made it quit
    await assertUntroubled();
  });

  async function agentKey(): Promise<string> {
    return parseAgentSecret(await scene.namespace.get('secrets')).key;
  }

  test('nothing that is told anywhere has a value of a variable, a header, a body, a Secret or a token in it', async () => {
    const { laptop, namespace } = scene;
    const post = `fetch('http://web/x?q=${CANARY.query}', { method: 'POST', body: '${CANARY.body}',
      headers: { 'x-canary': '${CANARY.header}', authorization: 'Bearer ${CANARY.header}' } }).then((r) => r.text()).then((t) => process.stdout.write(t))`;
    const posted = await scene.caller.exec(['node', '-e', post]);
    assert.match(posted.stdout, /^laptop .* POST \/x\?q=/, posted.stderr);
    await run.untilMatch((event) => event.event === 'request' && event.path === '/x', 'the request');
    const key = await agentKey();
    const [pod] = await namespace.livePods('web-');
    const told: Record<string, string> = {};
    told['list --json'] = all(await runIntercept(laptop, ['list', '--json', '--debug'], { namespace }));
    told['status --json'] = all(await runIntercept(laptop, ['status', '--json', '--debug'], { namespace }));
    const failing = ['nothing', '--json', '--debug', '--kubeconfig', await failingKubeconfig()];
    told.error = all(await runIntercept(laptop, failing, { namespace }));
    assert.match(told.error, /cannot log in: Authorization: Bearer \[redacted\]/);
    told['agent log'] = await namespace.kubectl(['logs', pod?.metadata.name ?? '', '-c', 'kube-intercept-agent']);
    Object.assign(told, await textsOfCluster(namespace));
    run.child.kill('SIGKILL'); // the guardian restores, and says so in its log
    await run.exited;
    const guardianLog = await untilGuardianHasRestored();
    told['guardian.log'] = guardianLog;
    told.session = run.transcript + run.stdout;
    const left = await laptop.run([
      'sh',
      '-c',
      "find . -type f ! -name '*.kubeconfig' ! -name 'plugin*' ! -name hostile-user.mjs ! -name process.cjs",
    ]);
    for (const file of left.stdout
      .trim()
      .split('\n')
      .filter((path) => path !== ''))
      told[file] = (await laptop.run(['cat', file])).stdout;
    assert.ok(left.stdout.includes('guardian.log') && !left.stdout.includes('pod.env'), left.stdout);
    const secrets = { ...CANARY, token, password, key, keyInHex: Buffer.from(key, 'base64url').toString('hex') };
    for (const [where, text] of Object.entries(told)) {
      assert.ok(text.length > 0 || where.startsWith('./'), where);
      for (const [what, secret] of Object.entries(secrets))
        assert.ok(!text.includes(secret), `${what} in ${where}:\n${text.slice(0, 4_000)}`);
    }
  });

  function all({ stdout, stderr }: { stdout: string; stderr: string }): string {
    return stdout + stderr;
  }

  /** Its plugin says the token, and fails. */
  async function failingKubeconfig(): Promise<string> {
    const script = `#!/bin/sh\necho "cannot log in: Authorization: Bearer ${token}" >&2\nexit 1\n`;
    const command = await write('plugin-that-fails', script, 0o700);
    const config = JSON.parse(scene.namespace.kubeconfigFor(scene.laptop.apiUrl));
    config.users[0].user = {
      exec: { apiVersion: 'client.authentication.k8s.io/v1beta1', command, interactiveMode: 'Never' },
    };
    return await write('failing.kubeconfig', JSON.stringify(config), 0o600);
  }

  async function untilGuardianHasRestored(): Promise<string> {
    await untilNoProcess(scene.laptop, 120_000);
    return await readFile(join(scene.laptop.home, '.local/state/kube-intercept/guardian.log'), 'utf8');
  }
});
