import { TlsFailure } from '../net/tls-failure.ts';
import {
  type Answerer,
  BY_FIELD,
  type HttpRoutes,
  isRefusal,
  type Mirror,
  type Refusal,
  type Resettable,
} from './routing.ts';

/** Begins TLS on a connection to who answers; `plain` takes bytes at once, `secured` tells whether the other side took part. */
export type Encrypt = (connection: Resettable) => { readonly plain: Resettable; readonly secured: Promise<void> };

/** Why TLS with who answers failed last, in words, by their ids: one handshake may be for several requests. */
type Failures = Map<string, string>;

/** The same routes, with everybody they lead to spoken to in TLS. */
export function tlsRoutes(routes: HttpRoutes, encrypt: Encrypt): HttpRoutes {
  const failures: Failures = new Map();
  return {
    decide: (head) => {
      const { answerer, mirrors } = routes.decide(head);
      return {
        answerer: isRefusal(answerer) ? answerer : tlsAnswerer(answerer, encrypt, failures),
        mirrors: mirrors.map((mirror) => tlsMirror(mirror, encrypt)),
      };
    },
  };
}

/** The same answerer; who does not finish the handshake does not answer, and the request goes to its fallback, or is told why. */
export function tlsAnswerer(answerer: Answerer, encrypt: Encrypt, failures: Failures = new Map()): Answerer {
  const { id, requestFields, responseFields } = answerer;
  return {
    get id() {
      return answerer.id; // may change while it is connected to
    },
    requestFields,
    responseFields,
    get fallback(): Answerer | Refusal | undefined {
      const { fallback } = answerer;
      if (fallback !== undefined && !isRefusal(fallback)) return tlsAnswerer(fallback, encrypt, failures);
      const reason = failures.get(id);
      if (reason === undefined) return fallback;
      return { status: fallback?.status ?? 502, reason };
    },
    began: () => answerer.began(),
    connect: async (signal) => {
      failures.delete(id);
      const { plain, secured } = encrypt(await answerer.connect(signal));
      const cut = (): void => void plain.resetAndDestroy();
      signal.addEventListener('abort', cut, { once: true });
      try {
        await secured;
      } catch (failure) {
        if (!(failure instanceof TlsFailure) || signal.aborted) throw failure;
        failures.set(id, `${nameOf(answerer)} ${failure.message}`);
        if (failure.lack !== undefined) answerer.lacks?.(failure.lack);
        throw failure;
      } finally {
        signal.removeEventListener('abort', cut);
      }
      return plain;
    },
  };
}

function nameOf({ id, requestFields }: Answerer): string {
  if (id === 'app') return 'the app';
  const by = requestFields.find(([name]) => name === BY_FIELD)?.[1];
  return by === undefined ? 'the process' : `the process of ${by}`;
}

function tlsMirror(mirror: Mirror, encrypt: Encrypt): Mirror {
  return {
    id: mirror.id,
    dropped: () => mirror.dropped(),
    open: () => {
      const connection = mirror.open();
      if (connection === undefined) return undefined;
      const { plain, secured } = encrypt(connection);
      secured.catch(() => {}); // its end tells as much
      return plain;
    },
  };
}
