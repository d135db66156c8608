import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { parseSharing, requirePortsFor, type SharingOptions } from '../../../cli/commands/sharing-options.ts';
import type { PortChoice } from '../../../cli/kube/ports.ts';
import { InterceptorError } from '../../../src/errors.ts';

const DEFAULTS: SharingOptions = { hold: '10', fallback: true };
const parse = (options: Partial<SharingOptions>): ReturnType<typeof parseSharing> =>
  parseSharing({ ...DEFAULTS, ...options });

function refusal(act: () => unknown): { text: string; hint: string } {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof InterceptorError && error.code === 'USAGE_BAD_OPTION');
    return { text: error.message, hint: error.hint ?? '' };
  }
  return assert.fail('it was taken');
}

test('without options everything is taken, the app answers while the process is down, after ten seconds', () => {
  assert.deepEqual(parse({}), {
    sharing: { mirror: false, fallback: 'app', mark: false },
    mode: { kind: 'sidecar' },
    takeOver: false,
    holdMs: 10_000,
    tlsFrom: undefined,
  });
});

test('what was typed arrives: a filter, the mode, who answers instead', () => {
  const { sharing, mode } = parse({ header: ['X-User: dev-1'], capture: 'redirect', fallback: false, mark: true });
  const conditions = [{ on: 'header', name: 'x-user', match: { kind: 'exact', value: 'dev-1' } }];
  const filter = { match: 'all', conditions };
  assert.deepEqual(sharing, { filter, mirror: false, fallback: 'refuse', mark: true });
  assert.deepEqual(mode, { kind: 'redirect' });
  assert.equal(parse({ replace: true }).sharing.fallback, 'refuse'); // there is no app then
});

describe('what cannot be together is refused with a way out', () => {
  const clashes: readonly [Partial<SharingOptions>, RegExp, RegExp][] = [
    [{ mirror: true, replace: true }, /--mirror and --replace/, /leave one/],
    [{ replace: true, header: ['a: b'] }, /a filter and --replace/, /--capture redirect/],
    [{ replace: true, capture: 'redirect' }, /--replace and --capture redirect/, /ports of the app/],
    [{ mirror: true, http: true }, /--mirror and --http/, /dropped/],
    [{ mirror: true, fallback: false }, /--mirror and --no-fallback/, /the app always/],
    [{ mirror: true, mark: true, header: ['a: b'] }, /--mirror and --mark/, /the app always/],
    [{ mirror: true, takeOver: true }, /--mirror needs no --take-over/, /any number/],
    [{ mark: true }, /--mark needs a filter/, /bytes/],
    [{ tlsFrom: 'web-tls' }, /--tls-from needs a filter/, /as it comes/],
    [{ hold: '61' }, /--hold "61"/, /at most 60/],
    [{ hold: '-1' }, /--hold "-1"/, /--hold/],
    [{ hold: '' }, /--hold ""/, /--hold/],
  ];
  test.each(clashes)('%j', (options, text, hint) => {
    const refused = refusal(() => parse(options));
    assert.match(refused.text, text);
    assert.match(refused.hint, hint);
  });
});

test('nobody has to wait for a process: --hold 0', () => {
  assert.equal(parse({ hold: '0' }).holdMs, 0);
});

test('a UDP port takes no filter and no mirror, and a filter needs a port', () => {
  const udp: PortChoice = {
    service: 'dns',
    servicePort: 53,
    servicePortName: undefined,
    localPort: 5353,
    appPort: 53,
    protocol: 'udp',
    container: 'app',
    targetName: undefined,
  };
  requirePortsFor(parse({}), [udp]);
  requirePortsFor(parse({ replace: true }), []);
  requirePortsFor(parse({ mirror: true, header: ['a: b'] }), [{ ...udp, protocol: 'tcp' }]);
  assert.match(refusal(() => requirePortsFor(parse({ mirror: true }), [udp])).text, /port 53 is UDP.*mirrored/);
  assert.match(refusal(() => requirePortsFor(parse({ header: ['a: b'] }), [udp])).text, /port 53 is UDP.*filter/);
  assert.match(refusal(() => requirePortsFor(parse({ header: ['a: b'] }), [])).text, /a filter needs a port/);
});
