// `npm run demo`: a small shop of two services, one of them answered by this machine for a moment. Takes your cluster with
// --context, else brings up the one of test/cluster.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { run, tryRun } from '../cluster/exec.ts';
import { useCluster } from './cluster.ts';
import { readCommandLine } from './command-line.ts';

const USAGE = `npm run demo [-- --context <name>] [--kubeconfig <file>] [--namespace <name>] [--image <image>]

  --context <name>, --kubeconfig <file>  your cluster; without them the one of npm run cluster is used, or brought up
  --namespace <name>                     made for the demo, and deleted (default: kube-intercept-demo)
  --image <image>                        of the shop's pods, with Node (default: node:22-slim)
`;
const READY_DEADLINE_MS = 180_000;
const INTERCEPT = fileURLToPath(new URL('../../dist/intercept.mjs', import.meta.url));

const API_CODE = `
const http = require('node:http');
const server = http.createServer((request, response) => {
  response.setHeader('Connection', 'close');
  response.end(process.env.PRICE + ' euro, says ' + (process.env.LAPTOP ? 'the process on the laptop' : require('node:os').hostname()));
});
server.listen(process.env.LAPTOP ? 3000 : 8080, process.env.LAPTOP ? '127.0.0.1' : '0.0.0.0');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
process.on('SIGINT', () => server.close(() => process.exit(0)));
`;
const WEB_CODE = `
const http = require('node:http');
http.createServer(async (request, response) => {
  try {
    const answer = await fetch('http://api/price');
    response.end('web: the price is ' + (await answer.text()) + '\\n');
  } catch (error) {
    response.writeHead(502).end('web: no price, ' + error.cause + '\\n');
  }
}).listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;
const CALL_CODE = `
(async () => {
  for (let i = 0; i < 4; i++) process.stdout.write(await (await fetch('http://web/', { headers: { connection: 'close' } })).text());
})();
`;

interface Demo {
  readonly kubectl: readonly string[];
  readonly interceptOptions: readonly string[];
  readonly namespace: string;
  readonly image: string;
}

async function openDemo(): Promise<Demo> {
  const { context, kubeconfig, namespace, image } = readCommandLine(USAGE, (args) => parseDemo(args).values);
  const access = [
    ...(context === undefined ? [] : ['--context', context]),
    ...(kubeconfig === undefined ? [] : ['--kubeconfig', kubeconfig]),
  ];
  if (access.length > 0) return { kubectl: ['kubectl', ...access], interceptOptions: access, namespace, image };
  const cluster = await useCluster();
  if ('notRun' in cluster)
    throw new Error(`${cluster.notRun}\nor use a cluster of yours: npm run demo -- --context <name>`);
  const own = ['--kubeconfig', cluster.kubeconfig];
  return { kubectl: [cluster.kubectlProgram, ...own], interceptOptions: own, namespace, image: cluster.nodeImage };
}

const parseDemo = (args: string[]) =>
  parseArgs({
    args,
    options: {
      context: { type: 'string' },
      kubeconfig: { type: 'string' },
      namespace: { type: 'string', default: 'kube-intercept-demo' },
      image: { type: 'string', default: 'node:22-slim' },
    },
  });

function title(text: string): void {
  process.stdout.write(`\n── ${text}\n`);
}

function app(name: string, code: string, image: string, replicas: number): unknown[] {
  const labels = { app: name };
  const container = {
    name,
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '-e', code],
    env: [{ name: 'PRICE', value: '10' }],
    readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
  };
  const template = { metadata: { labels }, spec: { containers: [container] } };
  const metadata = { name, labels };
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: { replicas, selector: { matchLabels: labels }, template },
    },
  ];
}

async function callShop(kubectl: readonly string[], namespace: string): Promise<void> {
  process.stdout.write(
    await run([...kubectl, '--namespace', namespace, 'exec', 'deploy/web', '--', 'node', '-e', CALL_CODE]),
  );
}

/** Starts `intercept api` with our output and resolves when it says that it is ready. */
async function startIntercept(demo: Demo): Promise<ChildProcess> {
  const args = ['api', '--port', '3000', '--namespace', demo.namespace, ...demo.interceptOptions];
  const command = ['--env', 'PRICE=999', '--env', 'LAPTOP=1', '--', 'node', '-e', API_CODE];
  const child = spawn(process.execPath, [INTERCEPT, ...args, ...command], { stdio: ['ignore', 'inherit', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGTERM'), READY_DEADLINE_MS);
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      process.stdout.write(text);
      if (text.includes('ready in')) resolve();
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`intercept ended with code ${String(code)}`)));
  });
  clearTimeout(timer);
  return child;
}

const demo = await openDemo();
const { kubectl, namespace, image } = demo;
const inNamespace = [...kubectl, '--namespace', namespace];
try {
  title(`a shop of two services in namespace ${namespace}: web asks api for the price`);
  await tryRun([...kubectl, 'create', 'namespace', namespace]);
  const items = [...app('api', API_CODE, image, 2), ...app('web', WEB_CODE, image, 1)];
  await run([...inNamespace, 'apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  for (const name of ['api', 'web'])
    await run([...inNamespace, 'rollout', 'status', `deployment/${name}`, '--timeout=180s']);

  title('before: the cluster answers');
  await callShop(kubectl, namespace);

  title('intercept api --port 3000 -- node api.js');
  const session = await startIntercept(demo);

  title('during: the process on the laptop answers');
  await callShop(kubectl, namespace);

  title('Ctrl-C');
  const exited = once(session, 'exit');
  session.kill('SIGINT');
  await exited;

  title('after: the cluster answers again, and the objects are as they were');
  await callShop(kubectl, namespace);
} finally {
  await tryRun([...kubectl, 'delete', 'namespace', namespace, '--wait=false']);
}
