import assert from 'node:assert/strict';
import { test } from 'vitest';
import { coveringRoute, literalCommands, readRoutes } from '../../../../cli/network/system/routes.ts';

const TABLE = JSON.stringify([
  { dst: 'default', gateway: '192.0.2.1', dev: 'wlan0', protocol: 'dhcp' },
  { dst: '0.0.0.0/1', dev: 'tun0' },
  { dst: '128.0.0.0/1', dev: 'tun0' },
  { dst: '10.96.0.0/16', dev: 'tun1' },
  { dst: '172.17.0.0/16', dev: 'docker0', protocol: 'kernel' },
  { type: 'local', dst: '10.1.2.3', dev: 'lo', table: 'local', protocol: 'kernel' },
  { type: 'local', dst: '10.200.0.1', dev: 'lo', table: 'local', protocol: '147' },
  { type: 'local', dst: '10.200.0.2', dev: 'lo', table: 'local', protocol: 147 },
  { type: 'unreachable', dst: '198.51.100.0/24' },
  { dst: 'fd00:1::/64', dev: 'tun1' },
  { dst: '::/0', dev: 'wlan0' },
  'garbage',
  { dev: 'eth0' },
]);

test('an address that a VPN or a container network of the laptop covers is told by its device', () => {
  const routes = readRoutes(TABLE);
  const device = (address: string): string | undefined => coveringRoute(address, routes)?.device;
  assert.equal(device('10.96.0.10'), 'tun1');
  assert.equal(device('172.17.0.2'), 'docker0');
  assert.equal(device('10.1.2.3'), 'lo');
  assert.equal(device('198.51.100.7'), '');
  assert.equal(device('fd00:1::5'), 'tun1');
});

test('default routes, those of VPN programs among them, and our own cover nothing', () => {
  const routes = readRoutes(TABLE);
  for (const address of ['10.97.0.1', '203.0.113.1', '10.200.0.1', '10.200.0.2', 'fd00:2::1', '2001:db8::1']) {
    assert.equal(coveringRoute(address, routes), undefined, address);
  }
});

test('no routes are none', () => {
  for (const json of ['', '\n', '[]', '{}', 'null']) assert.deepEqual(readRoutes(json), []);
});

test('a literal is a local route to lo with our protocol number', () => {
  assert.equal(
    literalCommands('replace', ['10.96.0.10', 'fd00::10']),
    'route replace local 10.96.0.10/32 dev lo table local proto 147\n' +
      'route replace local fd00::10/128 dev lo table local proto 147\n',
  );
  assert.equal(literalCommands('del', ['10.96.0.10']), 'route del local 10.96.0.10/32 dev lo table local proto 147\n');
});
