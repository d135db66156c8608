import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, test } from 'vitest';
import { makeCredentials } from '../../../cli/network/proxy/access.ts';
import { ProxyPort } from '../../../cli/network/proxy/proxy-port.ts';
import { proxyVariables } from '../../../cli/network/proxy/variables.ts';
import { silentLog } from '../../../src/log.ts';
import { NODE_MAJORS, nodeBinary } from '../../support/node-versions.ts';
import { makeCertificate } from '../agent/support/certificate.ts';
import { API_ADDRESS, API_ADDRESS_6, type PodDouble, startPodDouble } from './support/pod-double.ts';
import { run } from './support/run.ts';
import { httpUpstream, tcpUpstream, type Upstream, udpEcho } from './support/upstreams.ts';

// In one file: all of it runs with one bundle of the preload, in front of one pod double and proxy.
let dir: string;
let pod: PodDouble;
let proxy: ProxyPort;
let variables: Record<string, string>;
let upstreams: Upstream[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kube intercept preload-'));
  await build({
    entryPoints: ['cli/network/proxy/preload/main.ts'],
    outfile: join(dir, 'preload.cjs'),
    bundle: true,
    minify: true,
    keepNames: true,
    platform: 'node',
    format: 'cjs',
    target: 'node18',
  });
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

beforeEach(async () => {
  pod = await startPodDouble();
  const { egress, resolver } = pod;
  const credentials = makeCredentials();
  proxy = await ProxyPort.listen({ egress, resolver, credentials, log: silentLog });
  variables = proxyVariables({
    port: proxy.port,
    credentials,
    preload: join(dir, 'preload.cjs'),
    environment: { NODE_OPTIONS: '--no-warnings' },
  });
});
afterEach(async () => {
  await proxy.close();
  await Promise.all(upstreams.map((upstream) => upstream.close()));
  upstreams = [];
  await pod.close();
});

function keep(upstream: Upstream): number {
  upstreams.push(upstream);
  return upstream.port;
}

async function web(): Promise<number> {
  return keep(await httpUpstream((req, res) => res.end(`${req.method} ${req.url} ${req.headers.host}`)));
}

/** Runs a script; what it prints is its result. */
async function node(script: string, binary = process.execPath, extra: readonly string[] = []): Promise<string> {
  const { out, err, code } = await run([binary, ...extra, '-e', script], variables);
  assert.equal(err, '');
  assert.equal(code, 0);
  return out.trim();
}

describe('a Node program', () => {
  test('reaches the cluster by http, fetch and net, by name and by address', async () => {
    const port = await web();
    const out = await node(`
      const http = require('node:http'), net = require('node:net');
      http.get('http://api:${port}/http', (res) => res.on('data', (d) => console.log('' + d)).on('end', async () => {
        console.log(await (await fetch('http://api.shop.svc.cluster.local:${port}/fetch')).text());
        console.log(await (await fetch('http://six:${port}/six')).text());
        const s = net.connect({ host: '${API_ADDRESS}', port: ${port}, allowHalfOpen: true }, () => {
          console.log(s.remoteAddress, s.remotePort, s.remoteFamily);
          s.end('GET /net HTTP/1.0\\r\\n\\r\\n');
        });
        s.on('data', (d) => console.log(('' + d).split('\\r\\n\\r\\n')[1]));
      }));`);
    assert.deepEqual(out.split('\n'), [
      `GET /http api:${port}`,
      `GET /fetch api.shop.svc.cluster.local:${port}`,
      `GET /six six:${port}`,
      `${API_ADDRESS} ${port} IPv4`,
      'GET /net undefined',
    ]);
    assert.deepEqual(
      pod.opened,
      [API_ADDRESS, API_ADDRESS, `${API_ADDRESS_6}`, API_ADDRESS].map((host) => `tcp ${host}:${port}`),
    );
  });

  test('reaches it by https, tls and http2', async () => {
    const { tlsKey, tlsCert } = makeCertificate();
    const tls = createTlsServer({ key: tlsKey, cert: tlsCert }, (req, res) => res.end(`tls ${req.url}`));
    const h2 = createHttp2Server();
    h2.on('stream', (stream) => stream.end('h2'));
    const ports: number[] = [];
    for (const server of [tls, h2]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      ports.push((server.address() as AddressInfo).port);
    }
    const out = await node(`
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
      require('node:https').get('https://api:${ports[0]}/a', (res) => res.on('data', (d) => console.log('' + d)).on('end', async () => {
        console.log(await (await fetch('https://api:${ports[0]}/b')).text());
        const session = require('node:http2').connect('http://api:${ports[1]}');
        session.request({ ':path': '/' }).on('data', (d) => console.log('' + d)).on('end', () => { session.close(); process.exit(); });
      }));`);
    assert.deepEqual(out.split('\n'), ['tls /a', 'tls /b', 'h2']);
    assert.equal(pod.opened.length, 3);
    tls.closeAllConnections();
    for (const server of [tls, h2]) await new Promise((resolve) => server.close(resolve));
  });

  test('sees the errors a pod would see', async () => {
    const out = await node(`
      const net = require('node:net');
      const dial = (host) => new Promise((done) => net.connect(80, host).on('error', (e) => done(e.code + ' ' + e.syscall + ' ' + e.message)));
      (async () => {
        for (const host of ['refused', 'unreachable', 'slow', 'nowhere', '10.96.0.11']) console.log(await dial(host));
        console.log(await fetch('http://refused/').catch((e) => e.cause.code));
      })();`);
    assert.deepEqual(out.split('\n'), [
      'ECONNREFUSED connect connect ECONNREFUSED 10.96.0.11:80',
      'EHOSTUNREACH connect connect EHOSTUNREACH 10.96.0.12:80',
      'ETIMEDOUT connect connect ETIMEDOUT 10.96.0.13:80',
      'ENOTFOUND getaddrinfo getaddrinfo ENOTFOUND nowhere',
      'ECONNREFUSED connect connect ECONNREFUSED 10.96.0.11:80',
      'ECONNREFUSED',
    ]);
  });

  test('half-closes, is reset, and takes a megabyte whole', async () => {
    const bytes = 1_048_576 * 4;
    const port = keep(
      await tcpUpstream((socket) => {
        let count = 0;
        socket.on('data', (chunk: Buffer) => {
          count += chunk.byteLength;
          if (chunk.includes('reset')) socket.resetAndDestroy();
        });
        socket.on('end', () => socket.end(`${count} `.padEnd(bytes, 'x')));
      }),
    );
    const out = await node(`
      const net = require('node:net'), { createHash } = require('node:crypto');
      const hash = createHash('sha256'); let size = 0;
      const s = net.connect({ host: 'api', port: ${port}, allowHalfOpen: true });
      s.end(Buffer.alloc(${bytes}, 1));
      s.on('data', (d) => { size += d.length; hash.update(d); }).on('end', () => {
        console.log(size, hash.digest('hex'));
        net.connect(${port}, 'api', function () { this.write('reset'); }).on('error', (e) => console.log(e.code, e.syscall));
      });`);
    const whole = createHash('sha256').update(`${bytes} `.padEnd(bytes, 'x')).digest('hex');
    assert.deepEqual(out.split('\n'), [`${bytes} ${whole}`, 'ECONNRESET read']);
  });

  test('looks names up by the pod’s list, with dns.lookup, its promise and promisify', async () => {
    const out = await node(`
      const dns = require('node:dns'), util = require('node:util');
      (async () => {
        console.log(JSON.stringify(await util.promisify(dns.lookup)('api')));
        console.log(JSON.stringify(await dns.promises.lookup('api', { all: true })));
        console.log(JSON.stringify(await dns.promises.lookup('six', 6)));
        console.log((await dns.promises.lookup('api', 6).catch((e) => e)).code);
        console.log((await dns.promises.lookup('localhost')).address.replace('::1', '127.0.0.1'));
        dns.lookup('api', { all: true, family: 4 }, (e, all) => console.log(JSON.stringify(all)));
      })();`);
    assert.deepEqual(out.split('\n'), [
      `{"address":"${API_ADDRESS}","family":4}`,
      `[{"address":"${API_ADDRESS}","family":4}]`,
      `{"address":"${API_ADDRESS_6}","family":6}`,
      'ENOTFOUND',
      '127.0.0.1',
      `[{"address":"${API_ADDRESS}","family":4}]`,
    ]);
  });

  test('asks the pod’s DNS with dns.resolve and Resolver', async () => {
    const out = await node(`
      const dns = require('node:dns');
      (async () => {
        console.log(await dns.promises.resolve4('api.shop.svc.cluster.local', { ttl: true }));
        console.log((await new dns.promises.Resolver().resolve6('six')).join());
        console.log((await dns.promises.resolve('nowhere').catch((e) => e)).message);
        new dns.Resolver().resolve4('api', (e, all) => console.log(all.join()));
      })();`);
    assert.deepEqual(out.split('\n'), [
      `[ { address: '${API_ADDRESS}', ttl: 30 } ]`,
      API_ADDRESS_6,
      'queryA ENOTFOUND nowhere',
      API_ADDRESS,
    ]);
  });

  test('sends datagrams, connected and not, and hears where answers come from', async () => {
    const port = keep(await udpEcho());
    const out = await node(`
      const dgram = require('node:dgram');
      const s = dgram.createSocket('udp4');
      s.on('message', (m, from) => {
        console.log('' + m, from.address, from.port, from.size); s.close();
        const c = dgram.createSocket('udp4');
        c.connect(${port}, '${API_ADDRESS}', () => { console.log(c.remoteAddress().address); c.send('two'); });
        c.on('message', (m) => {
          console.log('' + m); c.close();
          const six = dgram.createSocket('udp6');
          six.send(Buffer.from('xthreex'), 1, 5, ${port}, '${API_ADDRESS_6}', (e, n) => console.log(e, n));
          six.on('message', (m, from) => { console.log('' + m, from.family); six.close(); });
        });
      });
      s.send('one', ${port}, 'api');`);
    assert.deepEqual(out.split('\n'), [
      `echo:one ${API_ADDRESS} ${port} 8`,
      API_ADDRESS,
      'echo:two',
      'null 5',
      'echo:three IPv6',
    ]);
  });

  test('talks to the laptop’s own services as before, and to UNIX sockets', async () => {
    const port = await web();
    const path = join(dir, 'own.sock');
    const out = await node(`
      const http = require('node:http');
      (async () => {
        console.log(await (await fetch('http://127.0.0.1:${port}/l')).text());
        console.log(await (await fetch('http://localhost:${port}/l')).text());
        const server = http.createServer((q, r) => r.end('unix')).listen(${JSON.stringify(path)}, () =>
          http.get({ socketPath: ${JSON.stringify(path)} }, (r) => r.on('data', (d) => { console.log('' + d); server.close(); })));
      })();`);
    assert.deepEqual(out.split('\n'), [`GET /l 127.0.0.1:${port}`, `GET /l localhost:${port}`, 'unix']);
    assert.deepEqual(pod.opened, []);
  });

  test('has workers, children and ES modules that are inside, too', async () => {
    const port = await web();
    const url = JSON.stringify(`http://api:${port}/`);
    const file = join(dir, 'module.mjs');
    await writeFile(
      file,
      `
      import { get } from 'node:http';
      import { lookup } from 'node:dns/promises';
      import { Worker } from 'node:worker_threads';
      console.log((await lookup('api')).address);
      await new Promise((done) => get(${url} + 'esm', (r) => r.on('data', (d) => console.log('' + d)).on('end', done)));
      const code = (name) => 'fetch(' + JSON.stringify(${url} + name) + ').then((r) => r.text()).then(console.log)';
      await new Promise((done) => new Worker(code('worker'), { eval: true }).on('exit', done));
      await new Promise((resolve) => setImmediate(resolve));
      const { execFile } = await import('node:child_process');
      execFile(process.execPath, ['-e', code('child')], (e, out) => console.log(e ?? out.trim()));`,
    );
    const { out, err } = await run([process.execPath, file], variables);
    assert.equal(err, '');
    assert.deepEqual(out.trim().split('\n'), [
      API_ADDRESS,
      `GET /esm api:${port}`,
      `GET /worker api:${port}`,
      `GET /child api:${port}`,
    ]);
  });

  test('makes a thousand connections at once', async () => {
    const port = keep(await tcpUpstream((socket) => socket.end('x')));
    const out = await node(`
      const net = require('node:net');
      const one = () => new Promise((done) => net.connect(${port}, 'api').on('data', () => done('x')).on('error', (e) => done(e.code)));
      Promise.all(Array.from({ length: 1000 }, one)).then((all) => console.log(all.filter((each) => each === 'x').length));`);
    assert.equal(out, '1000');
  });

  test('goes on without a session: connections fail, nothing hangs or crashes', async () => {
    await proxy.close();
    const out = await node(`
      fetch('http://${API_ADDRESS}/').catch((e) => console.log(e.cause.code));
      require('node:dns').lookup('api', (e) => console.log(e.code));`);
    assert.deepEqual(out.split('\n').sort(), ['EAI_AGAIN', 'EHOSTUNREACH']);
  });
});

test.each(NODE_MAJORS)('Node %i is inside, too', async (major) => {
  const binary = await nodeBinary(major);
  if (binary === undefined) return; // npm has none for this machine
  const port = await web();
  const udp = keep(await udpEcho());
  const out = await node(
    `(async () => {
      console.log(await (await fetch('http://api:${port}/')).text());
      console.log((await require('node:dns').promises.resolve4('api')).join());
      console.log(await fetch('http://refused/').catch((e) => e.cause.code));
      const s = require('node:dgram').createSocket('udp4');
      s.on('message', (m) => { console.log('' + m); s.close(); });
      s.send('x', ${udp}, '${API_ADDRESS}');
    })();`,
    binary,
  );
  assert.deepEqual(out.split('\n'), [`GET / api:${port}`, API_ADDRESS, 'ECONNREFUSED', 'echo:x']);
});
