import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { afterEach, test } from 'vitest';
import { type AgentWorld, startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { personal } from './support/filtered-world.ts';
import { httpApp, seeingServer } from './support/http.ts';
import { acceptWith, type SessionDouble } from './support/session-double.ts';
import { dial, until } from './support/tcp.ts';

let world: AgentWorld;
afterEach(() => world.close());

const OK = (text: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

function hears(caller: Socket): { text: string } {
  const heard = { text: '' };
  caller.on('data', (chunk: Buffer) => {
    heard.text += chunk.toString();
  });
  return heard;
}

async function cut(session: SessionDouble): Promise<void> {
  session.cut();
  const visitor = await world.dial();
  for (;;) {
    const [holder] = (await visitor.request('status', {})).sessions;
    if (holder?.connected === false) break;
  }
  await visitor.mux.close();
}

test('the rest of an upload that was answered early is nobody’s next request', async () => {
  let app = '';
  world = await startWorld((socket) => {
    socket.on('data', (chunk: Buffer) => {
      app += chunk.toString();
    });
    socket.on('end', () => socket.end());
  });
  let laptop = '';
  const session = await world.dial({
    resumeMs: 60_000,
    onIncoming: acceptWith((stream) => {
      stream.on('data', (chunk: Buffer) => {
        if (laptop === '') stream.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno');
        laptop += chunk.toString();
      });
      stream.on('end', () => stream.end());
    }),
  });
  await session.request('claim', claimOf([intercept(world.appPort, { to: 'laptop' })]));
  const caller = await dial(world.routePort);
  const heard = hears(caller);
  caller.write('POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n0123456789');
  await until(() => heard.text.endsWith('no'), 'it is answered early');
  await cut(session);
  caller.write('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((resolve) => setTimeout(resolve, 1_500)); // the app has it by now, if it gets it
  assert.equal(app, '');
  caller.resetAndDestroy();
  await session.back();
});

test('a request that waits behind another one is not left behind when a laptop is gone', async () => {
  world = await startWorld(httpApp(seeingServer('app')));
  const session = await world.dial({
    resumeMs: 60_000,
    onIncoming: acceptWith((stream) => {
      let answered = 0;
      stream.on('data', () => {
        answered += 1;
        if (answered === 1) stream.write(OK('one'));
      });
      setTimeout(() => stream.writable && stream.write(OK('two')), 3_500); // it takes its time for the second
      stream.on('end', () => stream.end());
    }),
  });
  await session.request('claim', claimOf([intercept(world.appPort, { to: 'laptop' })]));
  const caller = await dial(world.routePort);
  const heard = hears(caller);
  caller.write(get('/1') + get('/2'));
  await until(() => heard.text.endsWith('one'), 'the first is answered');
  await cut(session);
  await new Promise((resolve) => setTimeout(resolve, 1_500)); // new callers have the app
  await session.back();
  await until(() => heard.text.endsWith('two'), 'the second is answered');
  caller.end();
});

test('a request that waits behind another one is answered before the first filter ends its connection', async () => {
  let asked = 0;
  world = await startWorld((socket) => {
    socket.on('data', () => {
      asked += 1;
      socket.write(OK('one'));
      setTimeout(() => socket.writable && socket.write(OK('two')), 2_000);
    });
    socket.on('end', () => setTimeout(() => socket.end(), 3_000));
  });
  const caller = await dial(world.routePort);
  const heard = hears(caller);
  caller.on('end', () => caller.end());
  caller.write(get('/1') + get('/2'));
  await until(() => heard.text.endsWith('one'), 'the first is answered');
  await personal(world, 'ann');
  await until(() => caller.destroyed || heard.text.endsWith('two'), 'one or the other');
  assert.match(heard.text, /two$/);
  assert.equal(asked, 1);
  caller.end();
});
