import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type ClientPrograms, useClientPrograms } from '../support/client-programs.ts';
import { HOME_NAME } from '../support/home-network.ts';
import { Inside } from '../support/inside.ts';
import { installedCli } from '../support/intercept-run.ts';
import { type NetworkScene, openNetworkScene, WEB } from '../support/network-scene.ts';
import { clusterOrUndefined } from '../support/scene.ts';
import { assertPrints, assertReaches, clusterUrls, curl } from './network-checks.ts';

const cluster = await clusterOrUndefined();
/** Those that honour proxies, by variables, JVM properties or a preload. */
const MAKES = ['curl', 'go', 'java', 'node', 'python'] as const;

/** What Node does besides HTTP: prints the answers of a raw connection, of a datagram and of lookups. */
const NODE_CODE = `
const { resolve4, resolveSrv, lookup } = require('node:dns/promises');
const redis = () => new Promise((resolve, reject) => {
  const socket = require('node:net').connect(6379, 'redis', () => socket.write('PING\\r\\n'));
  socket.on('error', reject).once('data', (data) => { resolve(String(data).trim()); socket.destroy(); });
});
const echo = () => new Promise((resolve, reject) => {
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('error', reject).once('message', (data) => { resolve(String(data)); socket.close(); });
  socket.send('datagram', 7000, 'echo');
});
(async () => {
  const [domain] = process.argv.slice(1);
  const srv = await resolveSrv('_http._tcp.api.' + domain);
  console.log(JSON.stringify({
    udp: await echo(),
    lookup: (await lookup('api')).address,
    resolve4: await resolve4('api.' + domain),
    srv: srv.map(({ name, port }) => name + ':' + port),
    ...(process.argv[2] === 'redis' ? { tcp: await redis() } : {}),
  }));
})();
`;

/** A SOCKS5 client of its own: asks for UDP ASSOCIATE, and prints what a datagram to <name> is answered with. */
const SOCKS_UDP_CODE = `
const [host, port, name] = process.argv.slice(1);
const control = require('node:net').connect(Number(port), host, () => control.write(Buffer.from([5, 1, 0])));
const udp = require('node:dgram').createSocket('udp4');
control.once('data', () => {
  control.write(Buffer.from([5, 3, 0, 1, 0, 0, 0, 0, 0, 0]));
  control.once('data', (reply) => {
    const header = Buffer.concat([Buffer.from([0, 0, 0, 3, name.length]), Buffer.from(name), Buffer.from([7000 >> 8, 7000 & 255])]);
    udp.once('message', (message) => { console.log(message.subarray(-9).toString()); control.destroy(); udp.close(); });
    udp.send(Buffer.concat([header, Buffer.from('by socks!')]), reply.readUInt16BE(8), reply.subarray(4, 8).join('.'));
  });
});
`;

describe.skipIf(cluster === undefined)('a command in proxy mode', () => {
  let network: NetworkScene;
  let clients: ClientPrograms;
  let inside: Inside;
  /** The one port, as the variables tell it. */
  let proxy: URL;
  beforeAll(async () => {
    if (cluster === undefined) return;
    [network, clients] = await Promise.all([openNetworkScene(cluster, 'proxy'), useClientPrograms()]);
    inside = await Inside.start(network.scene, ['run', WEB, '--network', 'proxy']);
    proxy = new URL((await inside.read(['sh', '-c', 'echo "$ALL_PROXY"'])).trim());
  });
  afterAll(async () => {
    await inside?.[Symbol.asyncDispose]();
    await network?.dispose();
  });

  test.each(MAKES)(
    '%s reaches Services by every name they have in the pod, a pod by its own, and a ClusterIP',
    async (make) => {
      await assertReaches(inside, clients.fetch[make], clusterUrls(network.upstreams));
    },
  );

  test('connections come from the pod', async () => {
    const { address } = await network.webPod();
    await assertPrints(inside, curl('http://api/whoami'), `${address}\n`);
  });

  test('Node’s connections, datagrams and lookups go to the cluster, whatever the module', async () => {
    const { upstreams, scene } = network;
    const domain = `${scene.namespace.name}.svc.cluster.local`;
    const command = [process.execPath, '-e', NODE_CODE, domain, upstreams.hasDatabases ? 'redis' : ''];
    const api = upstreams.clusterIps.api;
    assert.deepEqual(JSON.parse(await inside.read(command)), {
      udp: 'datagram',
      lookup: api,
      resolve4: [api],
      srv: [`api.${domain}:80`],
      ...(upstreams.hasDatabases ? { tcp: '+PONG' } : {}),
    });
  });

  test('the port speaks SOCKS5 with remote names, UDP ASSOCIATE and HTTP CONNECT', async () => {
    const { laptop } = network.scene; // the laptop itself: no variables of ours
    const by = async (...options: string[]): Promise<string> => {
      const { stdout, stderr } = await laptop.run(curl(...options, 'http://api/by'));
      return stdout || stderr;
    };
    assert.equal(await by('--socks5-hostname', proxy.host), 'api /by\n');
    assert.equal(await by('--proxy', `http://${proxy.host}`, '--proxytunnel'), 'api /by\n');
    assert.equal(await by('--proxy', `http://${proxy.host}`), 'api /by\n');
    const udp = await laptop.run([process.execPath, '-e', SOCKS_UDP_CODE, proxy.hostname, proxy.port, 'echo']);
    assert.equal(udp.stdout, 'by socks!\n', udp.stderr);
  });

  test('the laptop’s own services and names are reached as without it', async () => {
    const code = `require('node:http').createServer((q, r) => r.end('on the laptop\\n')).listen(8900, '127.0.0.1', () => console.log('up'))`;
    const server = network.scene.laptop.spawn([process.execPath, '-e', code]);
    try {
      await new Promise((resolve) => server.stdout?.once('data', resolve));
      for (const host of ['127.0.0.1', 'localhost'])
        for (const make of ['curl', 'node', 'python'] as const)
          await assertPrints(inside, clients.fetch[make](`http://${host}:8900/`), 'on the laptop\n');
    } finally {
      server.kill('SIGKILL');
    }
    await assertPrints(inside, curl(`http://${HOME_NAME}/`), /^home /);
  });

  test('what the pod cannot reach is refused in the words of the protocol', async () => {
    const refused = await inside.run(
      curl('-o', '/dev/null', '-w', '%{http_code}', `http://${network.upstreams.podName}:9/`),
    );
    assert.equal(refused.stdout, '502', refused.stderr);
    const socks = await network.scene.laptop.run(
      curl('--socks5-hostname', proxy.host, `http://${network.upstreams.podName}:9/`),
    );
    assert.equal(socks.code, 97, socks.stderr); // CURLE_PROXY
    assert.match(socks.stderr, /\(5\)/); // RFC 1928: connection refused
    const unknown = await network.scene.laptop.run(curl('--socks5-hostname', proxy.host, 'http://no-such-service/'));
    assert.match(unknown.stderr, /\(4\)/); // host unreachable
  });

  test('garbage ends its own connection and nothing else', async () => {
    const code = `
      const [host, port] = process.argv.slice(1);
      const garbage = [...Array.from({ length: 30 }, () => require('node:crypto').randomBytes(300)),
        Buffer.from([5, 0]), Buffer.from([5, 1, 0, 5, 1, 0, 3, 255, 65]), Buffer.from([5, 1, 0, 5, 9, 0, 1, 1, 2, 3, 4, 0, 80]),
        Buffer.from([4, 1, 0, 80, 1, 2, 3, 4, 0]), Buffer.from('CONNECT :::::0 HTTP/1.1\\r\\n\\r\\n'), Buffer.from('GET / HTTP/1.1\\r\\n\\r\\n'),
        Buffer.from('CONNECT ' + 'a'.repeat(70000))];
      Promise.all(garbage.map((bytes) => new Promise((resolve) => {
        const socket = require('node:net').connect(Number(port), host, () => socket.end(bytes));
        socket.resume().on('error', () => {}).on('close', resolve);
      }))).then(() => console.log('all ended'));
    `;
    const result = await network.scene.laptop.run([process.execPath, '-e', code, proxy.hostname, proxy.port]);
    assert.equal(result.stdout, 'all ended\n', result.stderr + inside.session.transcript);
    await assertPrints(inside, curl('http://api/still'), 'api /still\n');
  });

  test('it is what a command gets where user namespaces are forbidden, and the reason is said once', async () => {
    const { laptop, namespace } = network.scene;
    const forbidden = ['unshare', '-U', '--map-current-user', '--keep-caps', 'sh', '-c'];
    const script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"';
    const intercept = [
      process.execPath,
      '--',
      await installedCli(),
      'run',
      WEB,
      '--',
      ...curl('http://api/fallen-back'),
    ];
    const env = { KUBECONFIG: await laptop.kubeconfig(namespace) };
    const result = await laptop.run([...forbidden, script, 'sh', ...intercept], { env });
    assert.equal(result.stdout, 'api /fallen-back\n', result.stderr);
    assert.equal(
      result.stderr.match(/^! inside by proxy only .*user namespaces are switched off/gm)?.length,
      1,
      result.stderr,
    );
  });
});
