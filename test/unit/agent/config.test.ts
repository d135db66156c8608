import assert from 'node:assert/strict';
import { test } from 'vitest';
import { readSettings, SettingsError } from '../../../agent/config.ts';

const ENV = {
  KUBE_INTERCEPT_AGENT: JSON.stringify({
    version: 1,
    tunnelPort: 9900,
    container: 'app',
    app: 'present',
    routes: [{ port: 9901, appPort: 8080, protocol: 'tcp' }],
  }),
  KUBE_INTERCEPT_POD_NAME: 'web-1',
  KUBE_INTERCEPT_POD_IP: '10.0.0.7',
};
const FILES: Record<string, string> = {
  '/kube-intercept/credentials/key': `${Buffer.alloc(32, 7).toString('base64url')}\n`,
  '/kube-intercept/credentials/tls.key': 'a key',
  '/kube-intercept/credentials/tls.crt': 'a certificate',
};

function readFrom(files: Record<string, string>): (path: string) => string {
  return (path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT: ${path}`);
    return text;
  };
}

test('settings are read from the environment and the mounted Secret', () => {
  const settings = readSettings(ENV, readFrom(FILES));
  assert.equal(settings.podName, 'web-1');
  assert.equal(settings.logLevel, 'info');
  assert.deepEqual(settings.config.routes, [{ port: 9901, appPort: 8080, protocol: 'tcp' }]);
  assert.deepEqual(Buffer.from(settings.credentials.key), Buffer.alloc(32, 7));
});

test('every missing variable is named', () => {
  for (const name of Object.keys(ENV))
    assert.throws(
      () => readSettings({ ...ENV, [name]: undefined }, readFrom(FILES)),
      (failure) => failure instanceof SettingsError && failure.setting === name,
    );
});

test('every missing or empty file is named', () => {
  for (const path of Object.keys(FILES)) {
    const { [path]: _, ...others } = FILES;
    for (const files of [others, { ...others, [path]: ' \n' }])
      assert.throws(
        () => readSettings(ENV, readFrom(files)),
        (failure) => failure instanceof SettingsError && failure.setting === path,
      );
  }
});

test('a configuration with two routes to one app port is refused', () => {
  const routes = [
    { port: 9901, appPort: 8080, protocol: 'tcp' },
    { port: 9902, appPort: 8080, protocol: 'tcp' },
  ];
  const config = JSON.stringify({ version: 1, tunnelPort: 9900, container: 'app', app: 'present', routes });
  assert.throws(() => readSettings({ ...ENV, KUBE_INTERCEPT_AGENT: config }, readFrom(FILES)), SettingsError);
});

test('a log level that does not exist is refused', () => {
  assert.throws(() => readSettings({ ...ENV, KUBE_INTERCEPT_LOG_LEVEL: 'loud' }, readFrom(FILES)), SettingsError);
});
