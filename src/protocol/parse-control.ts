import { InterceptorError } from '../errors.ts';
import type { Filter } from '../http/filter.ts';
import { isRecord } from '../is-record.ts';
import type { ControlEvent, ControlMessage, Holder, InTheWay, LinkOffer, SessionIdentity } from './control.ts';
import { shown } from './shown.ts';

/**
 * Reads the JSON body of a control frame. Only the envelope is checked here; params and results are `unknown` until the
 * side that uses them parses them.
 * @throws InterceptorError PROTOCOL_BAD_MESSAGE
 */
export function parseControlMessage(text: string): ControlMessage {
  const bad = (what: string): InterceptorError =>
    new InterceptorError('PROTOCOL_BAD_MESSAGE', `control message: ${what}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InterceptorError('PROTOCOL_BAD_MESSAGE', 'control message: not JSON', { cause });
  }
  if (!isRecord(value)) throw bad('no object');
  switch (value.type) {
    case 'request': {
      const { id, method, params } = value;
      if (!isId(id) || typeof method !== 'string') throw bad('request');
      return { type: 'request', id, method, params };
    }
    case 'response': {
      const { id, error, result } = value;
      if (!isId(id)) throw bad('response');
      if (error === undefined) return { type: 'response', id, result };
      if (!isRecord(error) || typeof error.code !== 'string' || typeof error.message !== 'string') throw bad('error');
      const { code, message, holder, filter, others, more } = error;
      return {
        type: 'response',
        id,
        error: {
          code,
          message,
          ...(isHolder(holder) ? { holder } : {}),
          ...(isFilter(filter) ? { filter } : {}),
          ...(Array.isArray(others) ? { others: others.filter(isInTheWay) } : {}),
          ...(isId(more) ? { more } : {}),
        },
      };
    }
    case 'event':
      return parseEvent(value, bad);
    case 'hello': {
      const { versions, nonce, ecdh, pod } = value;
      if (!Array.isArray(versions) || !versions.every(isId) || typeof nonce !== 'string' || typeof pod !== 'string')
        throw bad('hello');
      // Version 1 had none, and must be told from noise.
      return { type: 'hello', versions, nonce, ecdh: typeof ecdh === 'string' ? ecdh : '', pod };
    }
    case 'proof': {
      const { version, nonce, ecdh, session, link, mac } = value;
      if (!isId(version) || typeof nonce !== 'string' || typeof ecdh !== 'string' || typeof mac !== 'string')
        throw bad('proof');
      if (!isIdentity(session) || !isLinkOffer(link)) throw bad('proof');
      const { sessionId, user, host } = session;
      const { id, begun, received, resumeMs } = link;
      const offer = { id, begun, received, resumeMs };
      return { type: 'proof', version, nonce, ecdh, session: { sessionId, user, host }, link: offer, mac };
    }
    case 'welcome': {
      const { mac, received, unknown } = value;
      if (typeof mac !== 'string') throw bad('welcome');
      if (unknown === true) return { type: 'welcome', unknown, mac };
      if (!isId(received)) throw bad('welcome');
      return { type: 'welcome', received, mac };
    }
    default:
      throw bad(`type ${shown(value.type)}`);
  }
}

function parseEvent(value: Record<string, unknown>, bad: (what: string) => Error): ControlEvent {
  const { event } = value;
  switch (event) {
    case 'evicted': {
      const { by, takeOver } = value;
      if (typeof by !== 'string') throw bad('evicted');
      return takeOver === true ? { type: 'event', event, by, takeOver } : { type: 'event', event, by };
    }
    case 'not-http': {
      const { appPort, speaks } = value;
      if (typeof appPort !== 'number' || (speaks !== 'tls' && speaks !== 'other')) throw bad('not-http');
      return { type: 'event', event, appPort, speaks };
    }
    case 'tls-lacks': {
      const { appPort, lacks } = value;
      if (typeof appPort !== 'number' || (lacks !== 'tls' && lacks !== 'h2' && lacks !== 'http/1.1'))
        throw bad('tls-lacks');
      return { type: 'event', event, appPort, lacks };
    }
    case 'proved': {
      const { nonce, appPort } = value;
      if (typeof nonce !== 'string' || typeof appPort !== 'number') throw bad('proved');
      return { type: 'event', event, nonce, appPort };
    }
    case 'draining':
    case 'files-changed':
      return { type: 'event', event };
    default:
      throw bad(`event ${shown(event)}`);
  }
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isIdentity(value: unknown): value is SessionIdentity {
  return (
    isRecord(value) &&
    typeof value.sessionId === 'string' &&
    typeof value.user === 'string' &&
    typeof value.host === 'string'
  );
}

function isLinkOffer(value: unknown): value is LinkOffer {
  return (
    isRecord(value) &&
    typeof value.id === 'string' &&
    typeof value.begun === 'boolean' &&
    isId(value.received) &&
    isId(value.resumeMs)
  );
}

export function isHolder(value: unknown): value is Holder {
  return (
    isIdentity(value) &&
    isRecord(value) &&
    Number.isFinite(value.sinceMs) &&
    Number.isFinite(value.lastSeenMs) &&
    typeof value.connected === 'boolean' &&
    (value.lastActivityMs === undefined || Number.isFinite(value.lastActivityMs))
  );
}

function isInTheWay(value: unknown): value is InTheWay {
  return isRecord(value) && isHolder(value.holder) && (value.filter === undefined || isFilter(value.filter));
}

/** Its shape only: a newer agent may have conditions that we do not know, and they are just shown. */
function isFilter(value: unknown): value is Filter {
  return (
    isRecord(value) &&
    (value.match === 'all' || value.match === 'any') &&
    Array.isArray(value.conditions) &&
    value.conditions.every((condition) => isRecord(condition) && typeof condition.on === 'string')
  );
}
