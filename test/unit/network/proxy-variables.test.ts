import assert from 'node:assert/strict';
import { test } from 'vitest';
import { Access, makeCredentials } from '../../../cli/network/proxy/access.ts';
import { nextHopHeaders, parseAbsoluteForm, parseAuthority } from '../../../cli/network/proxy/http-messages.ts';
import { uidInTable } from '../../../cli/network/proxy/peer-uid.ts';
import { readDatagram, writeDatagram } from '../../../cli/network/proxy/socks-messages.ts';
import { proxyVariables } from '../../../cli/network/proxy/variables.ts';

const credentials = { user: 'intercept', password: 'secret' };
const variablesOf = (environment: Record<string, string>, preload = '/opt/preload.cjs'): Record<string, string> =>
  proxyVariables({ port: 4000, credentials, preload, environment });

test('proxy variables come in both cases, with the credentials', () => {
  const variables = variablesOf({});
  for (const name of ['http_proxy', 'https_proxy']) {
    assert.equal(variables[name], 'http://intercept:secret@127.0.0.1:4000');
    assert.equal(variables[name.toUpperCase()], variables[name]);
  }
  assert.equal(variables.all_proxy, 'socks5h://intercept:secret@127.0.0.1:4000');
  assert.equal(variables.NO_PROXY, 'localhost,127.0.0.1,::1');
});

test('the command’s own NODE_OPTIONS and JAVA_TOOL_OPTIONS are kept in front', () => {
  const variables = variablesOf({ NODE_OPTIONS: '--inspect', JAVA_TOOL_OPTIONS: '-Xmx1g' });
  assert.equal(variables.NODE_OPTIONS, '--inspect --require /opt/preload.cjs');
  if (process.platform === 'linux') {
    assert.match(variables.JAVA_TOOL_OPTIONS ?? '', /^-Xmx1g -DsocksProxyHost=127\.0\.0\.1 -DsocksProxyPort=4000 /);
    assert.doesNotMatch(variables.JAVA_TOOL_OPTIONS ?? '', /secret/);
  }
});

test('a preload in a folder with spaces, quotes or backslashes is quoted as Node reads it', () => {
  assert.equal(variablesOf({}, '/a b/p.cjs').NODE_OPTIONS, '--require "/a b/p.cjs"');
  assert.equal(variablesOf({}, 'C:\\x "y"\\p.cjs').NODE_OPTIONS, '--require "C:\\\\x \\"y\\"\\\\p.cjs"');
});

test('credentials are taken as Basic, and only the right ones', () => {
  const access = new Access(credentials, []);
  const header = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  assert.equal(access.byHeader(header('intercept:secret')), true);
  for (const bad of [header('intercept:secret '), header('intercept'), header(':'), 'Basic', 'Bearer x', '', undefined])
    assert.equal(access.byHeader(bad), false, bad);
  assert.notEqual(makeCredentials().password, makeCredentials().password);
});

test('the owner of a peer’s socket is read from the kernel’s table', () => {
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0100007F:0FA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1',
    '   1: 0100007F:C350 0100007F:0FA0 01 00000000:00000000 00:00000000 00000000  1000        0 2 1',
    '   2: 0A00007F:C351 0100007F:0FA0 01 00000000:00000000 00:00000000 00000000  1001        0 3 1',
  ].join('\n');
  assert.equal(uidInTable(table, 0xc350, 4000), 1000);
  assert.equal(uidInTable(table, 0xc350, 4001), undefined);
  assert.equal(uidInTable(table, 0xc351, 4000), undefined);
  assert.equal(uidInTable(table, 0xc352, 4000), undefined);
  assert.equal(uidInTable('', 1, 1), undefined);
});

test('absolute form and authorities are read, and nothing else', () => {
  assert.deepEqual(parseAbsoluteForm('http://u:p@api:81?x=http://y/#f'), {
    host: 'api',
    port: 81,
    authority: 'api:81',
    path: '/?x=http://y/',
  });
  assert.deepEqual(parseAbsoluteForm('HTTP://[::1]/a'), { host: '::1', port: 80, authority: '[::1]', path: '/a' });
  for (const bad of [
    '/x',
    '*',
    'https://api/',
    'http://',
    'http:///x',
    'http://a b/',
    'http://api:0/',
    'http://api:99999/',
  ])
    assert.equal(parseAbsoluteForm(bad), undefined, bad);
  assert.deepEqual(parseAuthority('api:443', undefined), { host: 'api', port: 443 });
  assert.equal(parseAuthority('api', undefined), undefined);
});

test('a Connection header cannot take the framing of a body away', () => {
  const raw = [
    'Host',
    'evil',
    'Connection',
    'X-A, Content-Length',
    'X-A',
    '1',
    'Content-Length',
    '3',
    'proxy-authorization',
    's',
    'x-b',
    '2',
    'X-B',
    '3',
  ];
  assert.deepEqual(nextHopHeaders(raw, 'api'), ['Host', 'api', 'Content-Length', '3', 'x-b', '2', 'X-B', '3']);
});

test('datagrams come back from behind their header, and garbage does not', () => {
  for (const host of ['10.0.0.1', 'fd00::1', 'api.shop']) {
    const whole = writeDatagram({ host, port: 53 }, Buffer.from('data'));
    assert.deepEqual(readDatagram(whole), { destination: { host, port: 53 }, data: Buffer.from('data') });
    for (let length = 0; length < whole.byteLength - 4; length++)
      assert.equal(readDatagram(whole.subarray(0, length)), undefined);
    whole[2] = 1; // a fragment
    assert.equal(readDatagram(whole), undefined);
  }
});
