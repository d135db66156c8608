import { InterceptorError } from '../../src/errors.ts';
import { globProblem } from '../../src/glob.ts';
import { AddressRanges } from '../network/egress/address-ranges.ts';
import { HostGlobs } from '../network/egress/host-globs.ts';
import { parseToPod } from '../network/egress/to-pod.ts';
import type { NetworkOptions } from '../session/network.ts';
import type { ProcessSideOptions } from '../session/process-side.ts';

/** Options of every command that has a process stand inside the cluster, as commander gives them. */
export interface InsideOptions {
  /** `system` is what connect asks for by itself. */
  readonly network?: NetworkOptions['mode'];
  readonly egress?: 'pod' | 'cluster';
  readonly localHost?: readonly string[];
  readonly localCidr?: readonly string[];
  readonly toPod?: readonly string[];
  readonly dnsLocal?: readonly string[];
  readonly dnsCluster?: readonly string[];
  readonly files?: 'off' | 'copy';
  readonly filesExclude?: readonly string[];
}

/** Options that say something about the way in, and nothing without one. */
const OF_NETWORK = ['egress', 'localHost', 'localCidr', 'dnsLocal', 'dnsCluster'] as const;

/**
 * Checks what was typed. With a command it stands inside by default, with copies of the files; without one only what was
 * asked for is started.
 * @throws InterceptorError USAGE_BAD_OPTION, USAGE_BAD_PORT
 */
export function parseInside(
  options: InsideOptions,
  hasCommand: boolean,
): Pick<ProcessSideOptions, 'network' | 'files'> {
  const mode = options.network ?? (hasCommand ? 'auto' : 'none');
  if (!hasCommand && (mode === 'namespace' || mode === 'auto'))
    throw badOption(`--network ${mode} needs a command after --`, 'without one: --network proxy opens a proxy to use');
  const unused = OF_NETWORK.find((name) => options[name] !== undefined);
  if (mode === 'none' && unused !== undefined)
    throw badOption(
      `--${kebab(unused)} needs a way into the cluster`,
      hasCommand ? 'leave out --network none' : 'add a command after --, or --network proxy',
    );
  if (options.files === 'off' && options.filesExclude !== undefined)
    throw badOption('--files off and --files-exclude exclude each other', 'leave one of them out');
  for (const glob of options.filesExclude ?? []) {
    const problem = globProblem(glob);
    if (problem !== undefined)
      throw badOption(`--files-exclude "${glob}": ${problem}`, "for example '/var/lib/big/**'");
  }
  const toPod = (options.toPod ?? []).map(parseToPod);
  const network: NetworkOptions = {
    mode,
    egress: options.egress ?? 'pod',
    localHosts: new HostGlobs(options.localHost ?? []).globs,
    localCidrs: new AddressRanges(options.localCidr ?? []).cidrs,
    toPod,
    dnsLocal: (options.dnsLocal ?? []).map(parseSuffix('--dns-local')),
    dnsCluster: (options.dnsCluster ?? []).map(parseSuffix('--dns-cluster')),
  };
  const asked = options.files === 'copy' || options.filesExclude !== undefined;
  const files = options.files !== 'off' && (hasCommand || asked);
  return {
    network: mode === 'none' && toPod.length === 0 ? undefined : network,
    files: files ? { exclude: options.filesExclude ?? [], required: asked } : undefined,
  };
}

/** A domain: `corp.example`, with or without a dot in front and behind. */
function parseSuffix(option: string): (text: string) => string {
  return (text) => {
    const suffix = text.replace(/^\*?\./, '').replace(/\.$/, '');
    const labels = suffix.split('.');
    if (suffix.length > 253 || labels.some((label) => !/^[\w-]{1,63}$/.test(label)))
      throw badOption(`${option} "${text}" is not a domain`, `for example ${option} corp.example`);
    return suffix.toLowerCase();
  };
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function badOption(text: string, hint: string): InterceptorError {
  return new InterceptorError('USAGE_BAD_OPTION', text, { hint });
}
