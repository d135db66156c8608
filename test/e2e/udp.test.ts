import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';

const cluster = await clusterOrUndefined();
const START_MS = 120_000;
const END_MS = 120_000;
const CALLS = 20;

/** Answers each datagram and each connection on the same port number with who it is; probed by TCP. */
const CODE = `
const who = process.env.WHO || 'app', port = Number(process.env.PORT || 5300);
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (message, from) => socket.send(who + ' ' + message, from.port, from.address)).bind(port);
require('node:net').createServer((connection) => connection.on('error', () => {}).end(who)).listen(port);
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
`;

/** Runs in the caller pod: <host> <port>; counts by whom datagrams of new sockets, and connections, were answered. */
const CALL_CODE = `
const [host, port] = process.argv.slice(1);
const datagram = (n) => new Promise((resolve) => {
  const socket = require('node:dgram').createSocket('udp4');
  const end = (who) => { clearTimeout(timer); socket.close(); resolve(who); };
  const timer = setTimeout(end, 5000, 'nobody');
  socket.on('message', (text) => end(String(text) === String(text).split(' ')[0] + ' ' + n ? String(text).split(' ')[0] : 'wrong')).on('error', (error) => end(error.code));
  socket.send(String(n), Number(port), host);
});
const connection = () => new Promise((resolve) => {
  let text = '';
  require('node:net').connect(Number(port), host).on('data', (chunk) => { text += chunk; }).on('error', (error) => resolve(error.code)).on('end', () => resolve(text));
});
(async () => {
  const by = { udp: {}, tcp: {} };
  for (let n = 0; n < ${CALLS}; n++)
    for (const [protocol, who] of [['udp', await datagram(n)], ['tcp', await connection()]]) by[protocol][who] = (by[protocol][who] ?? 0) + 1;
  console.log(JSON.stringify(by));
})();
`;

describe.skipIf(cluster === undefined)('UDP ports of a Service', () => {
  let scene: Scene;

  beforeAll(async () => {
    if (cluster !== undefined) scene = await Scene.open(cluster, 'udp', CODE);
  }, START_MS);
  afterAll(async () => {
    await scene?.[Symbol.asyncDispose]();
  }, END_MS);

  async function answeredBy(service: string): Promise<string> {
    const { stdout, stderr } = await scene.caller.exec(['node', '-e', CALL_CODE, service, '53']);
    assert.equal(stderr, '');
    return stdout.trim();
  }

  test.each([
    ['by number', 5300],
    ['by name', 'dns'],
  ])(
    'that have their number in common with a TCP port, target %s: the laptop gets what it asks for',
    async (how, targetPort) => {
      const name = how.replace(' ', '-');
      const ports = [
        { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 5300 },
        { name: 'dns', port: 53, protocol: 'UDP', targetPort },
      ];
      const container = {
        ports: [{ name: 'dns', containerPort: 5300, protocol: 'UDP' }],
        readinessProbe: { tcpSocket: { port: 5300 }, periodSeconds: 1 },
        livenessProbe: undefined,
      };
      await scene.deploy({ name, replicas: 1, code: CODE, service: { ports }, container });
      const resources = [`deployment/${name}`, `service/${name}`];
      const before = await scene.snapshot(...resources);
      const byApp = JSON.stringify({ udp: { app: CALLS }, tcp: { app: CALLS } });
      // kube-proxy follows a new Service behind its pods' readiness, and nobody sends a lost datagram again.
      const settled = async (): Promise<true | undefined> => ((await answeredBy(name)) === byApp ? true : undefined);
      await waitFor(settled, { timeoutMs: END_MS, onTimeout: () => new Error('the app does not answer') });

      const env = ['--env', 'WHO=laptop', '--env', 'PORT=3000'];
      const args = [`svc/${name}`, '--port', '3000:53/udp', ...env, '--', 'node', scene.processFile];
      const run = await startIntercept(scene.laptop, args, { namespace: scene.namespace });
      await run.until('ready', START_MS);
      assert.equal(run.events.find((event) => event.event === 'proved')?.servicePort, 53, run.transcript);
      const byLaptop = JSON.stringify({ udp: { laptop: CALLS }, tcp: { app: CALLS } });
      assert.equal(await answeredBy(name), byLaptop, run.transcript);
      assert.equal(await run.interrupt(), 0, run.transcript);
      assert.deepEqual(await scene.snapshot(...resources), before);
      assert.equal(await answeredBy(name), byApp);
    },
    START_MS + END_MS,
  );
});
