import { errorText } from '../src/errors.ts';
import type { Filter } from '../src/http/filter.ts';
import { parseFilter } from '../src/http/filters/parse.ts';
import { isPort } from '../src/protocol/agent-config.ts';
import type { AppPort, Intercept, RouteTo, TlsMaterial } from '../src/protocol/control.ts';
import { MAX_PEM_BYTES } from './limits.ts';
import { bad, isText, record } from './params.ts';

/** The `intercepts` of a claim. @throws RequestFailure BAD_PARAMS */
export function parseIntercepts(values: readonly unknown[]): Intercept[] {
  const intercepts = values.map(parseIntercept);
  for (const { appPort, protocol, filter, mirror } of intercepts) {
    if (filter !== undefined || mirror) continue;
    const others = intercepts.filter(
      (other) => other.appPort === appPort && other.protocol === protocol && !other.mirror,
    );
    if (others.length > 1) throw bad(`intercepts: all of app port ${appPort}, and something of it`);
  }
  return intercepts;
}

function parseIntercept(value: unknown): Intercept {
  const { appPort, protocol, filter, mirror, fallback, mark, tls, to } = record(value);
  if (!isPort(appPort)) throw bad('intercept: appPort');
  if (!isProtocol(protocol)) throw bad('intercept: protocol');
  if (typeof mirror !== 'boolean') throw bad('intercept: mirror');
  if (fallback !== 'app' && fallback !== 'refuse') throw bad('intercept: fallback');
  if (typeof mark !== 'boolean') throw bad('intercept: mark');
  if (!isRouteTo(to)) throw bad('intercept: to');
  if (protocol === 'udp' && (filter !== undefined || mirror))
    throw bad('intercept: datagrams have no filter or mirror');
  return {
    appPort,
    protocol,
    mirror,
    fallback,
    mark,
    to,
    ...(filter === undefined ? {} : { filter: readFilter(filter) }),
    ...(tls === undefined ? {} : { tls: parseTls(tls) }),
  };
}

function readFilter(value: unknown): Filter {
  try {
    return parseFilter(value);
  } catch (failure) {
    throw bad(`intercept: ${errorText(failure)}`);
  }
}

function parseTls(value: unknown): TlsMaterial {
  const { certificate, key, certificatePath, keyPath } = record(value);
  if (isPem(certificate) && isPem(key)) return { certificate, key };
  if (isText(certificatePath) && isText(keyPath)) return { certificatePath, keyPath };
  throw bad('intercept: tls');
}

function isPem(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_PEM_BYTES;
}

export function isProtocol(value: unknown): value is AppPort['protocol'] {
  return value === 'tcp' || value === 'udp';
}

export function isRouteTo(value: unknown): value is RouteTo {
  return value === 'laptop' || value === 'held' || value === 'app';
}
