import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { makeCertificate } from './certificate.ts';
import { until } from './tcp.ts';

/** The bundled agent as a process of its own, as in a pod. */
export interface AgentProcess {
  readonly child: ChildProcess;
  readonly tunnelPort: number;
  readonly routePort: number;
  readonly key: Buffer;
  /** The JSON lines it wrote so far. */
  readonly log: Record<string, unknown>[];
  /** Its exit code, once it has ended. */
  readonly exited: Promise<number | null>;
}

export interface Bundle {
  readonly path: string;
  readonly dir: string;
  readonly bytes: number;
}

/** Bundles agent/main.ts into a folder of its own, with the options of build.mjs that matter at run time. */
export async function bundleAgent(): Promise<Bundle> {
  const dir = await mkdtemp(join(tmpdir(), 'kube-intercept-agent-'));
  const path = join(dir, 'agent.mjs');
  const result = await build({
    entryPoints: ['agent/main.ts'],
    outfile: path,
    bundle: true,
    minify: true,
    keepNames: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    metafile: true,
    define: { __VERSION__: '"1.2.3"' },
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  });
  const [output] = Object.values(result.metafile.outputs);
  return { path, dir, bytes: output?.bytes ?? 0 };
}

/** Starts the bundle. @param env more variables; undefined takes one away */
export async function spawnAgent(
  bundle: Bundle,
  appPort: number,
  env: Record<string, string | undefined> = {},
): Promise<AgentProcess> {
  const key = randomBytes(32);
  const { tlsKey, tlsCert } = makeCertificate();
  const files = { key: key.toString('base64url'), 'tls.key': tlsKey, 'tls.crt': tlsCert };
  for (const [name, text] of Object.entries(files)) await writeFile(join(bundle.dir, name), text);
  const [tunnelPort, routePort] = [await freePort(), await freePort()];
  const routes = [{ port: routePort, appPort, protocol: 'tcp' }];
  const config = { version: 1, tunnelPort, container: 'app', app: 'present', routes };
  const child = spawn(process.execPath, [bundle.path], {
    env: {
      PATH: process.env.PATH,
      KUBE_INTERCEPT_AGENT: JSON.stringify(config),
      KUBE_INTERCEPT_POD_NAME: 'web-1',
      KUBE_INTERCEPT_POD_IP: '127.0.0.1',
      KUBE_INTERCEPT_LOG_LEVEL: 'debug',
      KUBE_INTERCEPT_CREDENTIALS_DIR: bundle.dir,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const log: Record<string, unknown>[] = [];
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) log.push(JSON.parse(line));
  });
  const exited = once(child, 'close').then(() => child.exitCode);
  return { child, tunnelPort, routePort, key, log, exited };
}

/** Waits until the agent wrote a line with this message. */
export async function untilLogged(agent: AgentProcess, message: string): Promise<Record<string, unknown>> {
  const find = (): Record<string, unknown> | undefined => agent.log.find((record) => record.message === message);
  await until(() => find() !== undefined, `the agent says "${message}"`);
  return find() ?? {};
}

export async function removeBundle(bundle: Bundle): Promise<void> {
  await rm(bundle.dir, { recursive: true });
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
