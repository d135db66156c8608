import { type Answerer, type HttpRoutes, isRefusal, type Mirror, type Resettable } from './routing.ts';

/** Begins TLS on a connection to who answers; `plain` takes bytes at once, `secured` tells whether the other side took part. */
export type Encrypt = (connection: Resettable) => { readonly plain: Resettable; readonly secured: Promise<void> };

/** The same routes, with everybody they lead to spoken to in TLS. */
export function tlsRoutes(routes: HttpRoutes, encrypt: Encrypt): HttpRoutes {
  return {
    decide: (head) => {
      const { answerer, mirrors } = routes.decide(head);
      return {
        answerer: isRefusal(answerer) ? answerer : tlsAnswerer(answerer, encrypt),
        mirrors: mirrors.map((mirror) => tlsMirror(mirror, encrypt)),
      };
    },
  };
}

/** The same answerer; who does not finish the handshake does not answer, and the request goes to its fallback. */
export function tlsAnswerer(answerer: Answerer, encrypt: Encrypt): Answerer {
  const { id, fallback, requestFields, responseFields } = answerer;
  return {
    id,
    requestFields,
    responseFields,
    fallback: fallback === undefined || isRefusal(fallback) ? fallback : tlsAnswerer(fallback, encrypt),
    began: () => answerer.began(),
    connect: async (signal) => {
      const { plain, secured } = encrypt(await answerer.connect(signal));
      const cut = (): void => void plain.resetAndDestroy();
      signal.addEventListener('abort', cut, { once: true });
      try {
        await secured;
      } finally {
        signal.removeEventListener('abort', cut);
      }
      return plain;
    },
  };
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
