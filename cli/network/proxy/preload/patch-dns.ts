import dns from 'node:dns';
import { isLocalName } from './addresses.ts';
import type { ControlLine } from './control-line.ts';
import { lookupError } from './errors.ts';
import type { Settings } from './settings.ts';

interface Options {
  readonly family: 0 | 4 | 6;
  readonly all: boolean;
  readonly order: string;
  readonly hints: number;
}

type Found = { address: string; family: number };
type Callback = (error: Error | null, address?: string | Found[], family?: number) => void;

/**
 * dns.lookup() by the pod's search list, over the line; dns.resolve*() and Resolver keep Node's own code and ask the proxy
 * port, which is a DNS server, too.
 */
export function patchDns(settings: Settings, line: ControlLine): void {
  patchLookup(line);
  const servers = [`127.0.0.1:${settings.port}`];
  dns.setServers(servers);
  const Callbacks = dns.Resolver;
  Reflect.set(
    dns,
    'Resolver',
    class Resolver extends Callbacks {
      constructor(options?: dns.ResolverOptions) {
        super(options);
        this.setServers(servers);
      }
    },
  );
  const Promises = dns.promises.Resolver;
  Reflect.set(
    dns.promises,
    'Resolver',
    class Resolver extends Promises {
      constructor(options?: dns.ResolverOptions) {
        super(options);
        this.setServers(servers);
      }
    },
  );
}

function patchLookup(line: ControlLine): void {
  const direct = dns.lookup;
  const directPromise = dns.promises.lookup;

  const ask = (name: string, options: Options, done: (error: Error | undefined, found: Found[]) => void): void => {
    line.request({ op: 'lookup', host: name, family: options.family }, ({ code, addresses = [] }) => {
      if (code !== undefined) return done(lookupError('EAI_AGAIN', name), []);
      const found = inOrder(addresses, options.order);
      if (found.length > 0) return done(undefined, found);
      if (options.family === 6 && (options.hints & dns.V4MAPPED) !== 0) {
        ask(name, { ...options, family: 4, hints: 0 }, (error, four) =>
          done(
            error,
            four.map(({ address }) => ({ address: `::ffff:${address}`, family: 6 })),
          ),
        );
        return;
      }
      done(lookupError('ENOTFOUND', name), []);
    });
  };

  function lookup(...args: unknown[]): unknown {
    const [name, second, third] = args;
    const callback = typeof third === 'function' ? third : second;
    const options = readOptions(typeof second === 'function' ? undefined : second);
    // What is wrong is refused by the original, in its own words.
    if (typeof name !== 'string' || name === '' || isLocalName(name) || typeof callback !== 'function' || !options)
      return Reflect.apply(direct, dns, args);
    const done = callback as Callback;
    ask(name, options, (error, found) => {
      const [first] = found;
      if (error !== undefined || first === undefined) done(error ?? lookupError('ENOTFOUND', name));
      else if (options.all) done(null, found);
      else done(null, first.address, first.family);
    });
    return {};
  }

  function lookupPromise(...args: unknown[]): unknown {
    const [name, second] = args;
    const options = readOptions(second);
    if (typeof name !== 'string' || name === '' || isLocalName(name) || !options)
      return Reflect.apply(directPromise, dns.promises, args);
    return new Promise((resolve, reject) => {
      ask(name, options, (error, found) => {
        if (error === undefined) resolve(options.all ? found : found[0]);
        else reject(error);
      });
    });
  }

  // util.promisify() goes by a symbol on the function.
  Object.defineProperties(lookup, Object.getOwnPropertyDescriptors(direct));
  Reflect.set(dns, 'lookup', lookup);
  Reflect.set(dns.promises, 'lookup', lookupPromise);
}

/** @returns undefined for what only the original can judge */
function readOptions(value: unknown): Options | undefined {
  const given: Record<string, unknown> =
    typeof value === 'number' ? { family: value } : typeof value === 'object' && value !== null ? { ...value } : {};
  const family = given.family === 'IPv4' ? 4 : given.family === 'IPv6' ? 6 : (given.family ?? 0);
  if (family !== 0 && family !== 4 && family !== 6) return undefined;
  const { order, verbatim, hints = 0, all = false } = given;
  if (typeof hints !== 'number' || typeof all !== 'boolean') return undefined;
  const byVerbatim = verbatim === undefined ? undefined : verbatim === true ? 'verbatim' : 'ipv4first';
  const byDefault = dns.getDefaultResultOrder?.() ?? 'verbatim';
  return { family, all, hints, order: typeof order === 'string' ? order : (byVerbatim ?? byDefault) };
}

function inOrder(addresses: readonly Found[], order: string): Found[] {
  const first = order === 'ipv4first' ? 4 : order === 'ipv6first' ? 6 : undefined;
  if (first === undefined) return [...addresses];
  return [...addresses.filter(({ family }) => family === first), ...addresses.filter(({ family }) => family !== first)];
}
