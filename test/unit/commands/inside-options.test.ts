import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { type InsideOptions, parseInside } from '../../../cli/commands/inside-options.ts';
import { InterceptorError } from '../../../src/errors.ts';

describe('how the process stands inside', () => {
  test('a command stands inside with copies of the files, whose failure is no failure of the command', () => {
    const { network, files } = parseInside({}, true);
    assert.equal(network?.mode, 'auto');
    assert.equal(network?.egress, 'pod');
    assert.deepEqual(files, { exclude: [], required: false });
  });

  test('without a command nothing is opened or copied unless asked for', () => {
    assert.deepEqual(parseInside({}, false), { network: undefined, files: undefined });
    assert.equal(parseInside({ network: 'proxy' }, false).network?.mode, 'proxy');
    assert.deepEqual(parseInside({ files: 'copy' }, false).files, { exclude: [], required: true });
    assert.deepEqual(parseInside({ filesExclude: ['/x'] }, true).files, { exclude: ['/x'], required: true });
  });

  test('--network none leaves the command where it is, with the ports of the pod that were asked for', () => {
    assert.equal(parseInside({ network: 'none' }, true).network, undefined);
    const { network } = parseInside({ network: 'none', toPod: ['15432:5432'] }, true);
    assert.deepEqual([network?.mode, network?.toPod], ['none', [{ laptopPort: 15432, podPort: 5432 }]]);
  });

  test('suffixes are domains, with or without dots around them', () => {
    const { network } = parseInside({ dnsLocal: ['.Corp.example.', '*.lan'], dnsCluster: ['internal'] }, true);
    assert.deepEqual([network?.dnsLocal, network?.dnsCluster], [['corp.example', 'lan'], ['internal']]);
  });

  const refused: readonly (readonly [InsideOptions, boolean, RegExp])[] = [
    [{ network: 'namespace' }, false, /needs a command/],
    [{ egress: 'cluster' }, false, /--egress needs a way/],
    [{ network: 'none', localHost: ['a'] }, true, /--local-host needs a way/],
    [{ localCidr: ['10.0.0.0/33'] }, true, /no range/],
    [{ localHost: ['a b'] }, true, /no host name/],
    [{ dnsLocal: ['a..b'] }, true, /not a domain/],
    [{ toPod: ['0:1'] }, true, /--to-pod 0:1: ports are 1 to 65535/],
    [{ toPod: ['a'] }, true, /--to-pod a: is not \[local:\]port/],
    [{ files: 'off', filesExclude: ['/x'] }, true, /exclude each other/],
  ];
  test.each(refused)('%j is refused (with a command: %j)', (options, hasCommand, text) => {
    assert.throws(
      () => parseInside(options, hasCommand),
      (error) => error instanceof InterceptorError && error.exitCode === 2 && text.test(error.message),
    );
  });
});
