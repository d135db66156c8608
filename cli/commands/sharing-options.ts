import { InterceptorError } from '../../src/errors.ts';
import type { PortChoice } from '../kube/ports.ts';
import type { InstallMode } from '../kube/record.ts';
import { userName } from '../session/identity.ts';
import type { Sharing } from '../session/traffic.ts';
import { type FilterOptions, parseFilterOptions } from './filter-options.ts';
import { parseSeconds } from './seconds.ts';

/** Options that say what is taken, and how it is shared with others, as commander gives them. */
export interface SharingOptions extends FilterOptions {
  readonly mirror?: boolean;
  readonly replace?: boolean;
  readonly capture?: 'service' | 'redirect';
  readonly takeOver?: boolean;
  readonly hold: string;
  /** --no-fallback. */
  readonly fallback: boolean;
  readonly mark?: boolean;
  readonly tlsFrom?: string;
  readonly http?: boolean;
}

/** The longest that agents let callers wait. */
const MAX_HOLD_SECONDS = 60;

/** What was typed, checked; `tlsFrom` is still to be read. */
export interface CheckedSharing {
  readonly sharing: Omit<Sharing, 'tls'>;
  readonly mode: InstallMode;
  readonly takeOver: boolean;
  readonly holdMs: number;
  readonly tlsFrom: string | undefined;
}

/** @throws InterceptorError USAGE_BAD_OPTION */
export function parseSharing(options: SharingOptions): CheckedSharing {
  const filter = parseFilterOptions(options, userName());
  const holdMs = parseSeconds('--hold', options.hold, { least: 0, most: MAX_HOLD_SECONDS }) * 1000;
  for (const [clashes, text, hint] of clashesOf(options, filter !== undefined))
    if (clashes) throw new InterceptorError('USAGE_BAD_OPTION', text, { hint });
  const replaces = options.replace === true;
  const mirror = options.mirror === true;
  return {
    sharing: {
      ...(filter === undefined ? {} : { filter }),
      mirror,
      fallback: options.fallback && !replaces ? 'app' : 'refuse',
      mark: options.mark === true,
    },
    mode: { kind: replaces ? 'replace' : options.capture === 'redirect' ? 'redirect' : 'sidecar' },
    takeOver: options.takeOver === true,
    holdMs,
    tlsFrom: options.tlsFrom,
  };
}

/** What excludes what, and what is nothing without something else. */
function clashesOf(options: SharingOptions, hasFilter: boolean): readonly (readonly [boolean, string, string])[] {
  const { mirror = false, replace = false, capture, takeOver = false, fallback, mark = false, http = false } = options;
  return [
    [
      mirror && replace,
      '--mirror and --replace exclude each other',
      'copies are made of what the app answers: leave one of them out',
    ],
    [
      hasFilter && replace,
      'a filter and --replace exclude each other',
      'all other requests would have no app to answer them; for pods that are called directly: --capture redirect',
    ],
    [
      replace && capture !== undefined,
      `--replace and --capture ${capture} exclude each other`,
      'with --replace callers reach the agent on the ports of the app itself',
    ],
    [
      mirror && http,
      '--mirror and --http exclude each other',
      'the answers to copies are dropped: let the process log its requests itself',
    ],
    [mirror && !fallback, '--mirror and --no-fallback exclude each other', 'the app always answers what is mirrored'],
    [mirror && mark, '--mirror and --mark exclude each other', 'the app always answers what is mirrored'],
    [mirror && takeOver, '--mirror needs no --take-over', 'any number of mirrors stand beside any other intercept'],
    [
      mark && !hasFilter,
      '--mark needs a filter, for example --personal',
      'without one, connections are passed on as bytes',
    ],
    [
      options.tlsFrom !== undefined && !hasFilter,
      '--tls-from needs a filter, for example --personal',
      'without one, TLS goes through to the process as it comes',
    ],
    [options.tlsFrom === '', '--tls-from has no value', 'the name of a Secret, or a folder in the pod'],
  ];
}

/**
 * What the ports must be.
 * @throws InterceptorError USAGE_BAD_OPTION
 */
export function requirePortsFor({ sharing }: CheckedSharing, ports: readonly PortChoice[]): void {
  const udp = ports.find(({ protocol }) => protocol === 'udp');
  if (udp !== undefined && (sharing.filter !== undefined || sharing.mirror))
    throw new InterceptorError(
      'USAGE_BAD_OPTION',
      `port ${udp.servicePort} is UDP: ${sharing.mirror ? 'it cannot be mirrored' : 'a filter cannot read it'}`,
      { hint: 'intercept it alone, in a session of its own: --port <local>:<port>/udp' },
    );
  if (ports.length === 0 && sharing.filter !== undefined)
    throw new InterceptorError('USAGE_BAD_OPTION', 'a filter needs a port', {
      hint: 'name one: --port <local>:<port>',
    });
}
