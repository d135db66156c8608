import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, beforeEach, test } from 'vitest';
import { World } from './h2-world.ts';

const run = promisify(execFile);

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.close());

/** An app that answers with what it got, in HTTP/2. */
async function echoApp(): Promise<number> {
  const { port } = await world.serve((stream, headers) => {
    let body = '';
    stream.on('data', (chunk) => {
      body += chunk;
    });
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/json' });
      stream.end(JSON.stringify({ headers, body, id: stream.id }));
    });
  });
  return port;
}

async function http1App(): Promise<number> {
  const server = http.createServer((request, response) => {
    response.end(JSON.stringify({ version: request.httpVersion, headers: request.rawHeaders }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  world.onClose(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** What curl printed: the body, then the version and status. */
async function curl(...args: string[]): Promise<{ body: string; version: string; status: number }> {
  const { stdout } = await run('curl', ['-sS', '--max-time', '10', '-w', '\n%{http_version} %{http_code}', ...args]);
  const end = stdout.lastIndexOf('\n');
  const [version = '', status] = stdout.slice(end + 1).split(' ');
  return { body: stdout.slice(0, end), version, status: Number(status) };
}

test('curl --http2-prior-knowledge is answered in HTTP/2', async () => {
  const app = world.answerer('app', await echoApp());
  const port = await world.route(() => ({ answerer: app }), { app });
  const { body, version, status } = await curl(
    '--http2-prior-knowledge',
    '-d',
    'hello',
    `http://127.0.0.1:${port}/a?b`,
  );
  assert.deepEqual([version, status], ['2', 200]);
  const got = JSON.parse(body);
  assert.deepEqual([got.body, got.headers[':path'], got.headers[':method']], ['hello', '/a?b', 'POST']);
});

test('curl --http2 becomes HTTP/2 when the app speaks it, and its next requests are routed one by one', async () => {
  const app = world.answerer('app', await echoApp());
  const paths: string[] = [];
  const port = await world.route(
    (head) => {
      paths.push(head.path);
      return { answerer: app };
    },
    { app },
  );
  const url = `http://127.0.0.1:${port}`;
  const { body, version } = await curl('--http2', '-H', 'x-user: dev', '-H', 'cookie: a=1', `${url}/one?q`);
  assert.equal(version, '2');
  const { headers, id } = JSON.parse(body);
  assert.equal(id, 1);
  assert.deepEqual([headers[':path'], headers[':authority']], ['/one?q', `127.0.0.1:${port}`]);
  assert.deepEqual(
    [headers[':scheme'], headers[':method'], headers['x-user'], headers.cookie],
    ['http', 'GET', 'dev', 'a=1'],
  );
  for (const name of ['upgrade', 'connection', 'http2-settings', 'host']) assert.equal(headers[name], undefined, name);
  paths.length = 0;
  const both = await curl(
    '--http2',
    `${url}/two`,
    '--next',
    '-sS',
    '--http2',
    '-w',
    '\n%{http_version} %{http_code}',
    `${url}/three`,
  );
  assert.deepEqual([both.version, both.status], ['2', 200]);
  assert.deepEqual(paths, ['/two', '/two', '/three']); // the first is asked about before and behind the upgrade
});

test('curl --http2 stays HTTP/1.1 when the app does not speak HTTP/2', async () => {
  const app = world.answerer('app', await http1App());
  const port = await world.route(() => ({ answerer: app }), { app });
  const { body, version } = await curl('--http2', '-H', 'X-User: dev', `http://127.0.0.1:${port}/`);
  assert.equal(version, '1.1');
  const { headers } = JSON.parse(body);
  assert.ok(headers.includes('X-User'));
  assert.deepEqual(
    headers.filter((name: string) => /upgrade|http2-settings/i.test(name)),
    [],
  );
});

test('a request that asks for HTTP/2 but is for a process stays HTTP/1.1', async () => {
  const app = world.answerer('app', await echoApp());
  const process = world.answerer('dev', await http1App());
  const port = await world.route(() => ({ answerer: process }), { app });
  assert.equal((await curl('--http2', `http://127.0.0.1:${port}/`)).version, '1.1');
  assert.equal(world.dialled.get('app'), undefined);
});

test('the app is asked once whether it speaks HTTP/2, not for every request', async () => {
  const app = world.answerer('app', await http1App());
  const port = await world.route(() => ({ answerer: app }), { app });
  for (let n = 0; n < 3; n += 1) await curl('--http2', `http://127.0.0.1:${port}/`);
  assert.equal(world.dialled.get('app')?.length, 4);
});
