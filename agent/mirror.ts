import type { Mirror } from '../src/http/routing.ts';
import type { Log } from '../src/log.ts';
import type { Claim } from './claim.ts';
import { held } from './held-bytes.ts';
import { type LaptopCarrier, openStream } from './laptop-way.ts';
import { MAX_OPEN_COPIES } from './limits.ts';
import { reset } from './sides.ts';

/** Copies for the laptop of a claim. */
export function mirrorOf(claim: Claim<LaptopCarrier>, callerHost: string, log: Log): Mirror {
  return {
    id: claim.session.identity.sessionId,
    open: () => {
      const { session } = claim;
      if (session.openCopies >= MAX_OPEN_COPIES) return undefined;
      const stream = openStream(claim, callerHost, log);
      if (stream === undefined) return undefined;
      session.openCopies += 1;
      const over = claim.began();
      const copy = {
        get heldBytes() {
          return stream.writableLength;
        },
        reset: () => reset(stream),
      };
      held.add(copy);
      stream.on('close', () => {
        held.delete(copy);
        session.openCopies -= 1;
        over();
      });
      return stream;
    },
    dropped: () => claim.dropped(),
  };
}

/** Mirrors that are to have a copy now: those whose laptop takes callers. */
export function activeMirrors(claims: readonly Claim<LaptopCarrier>[], callerHost: string, log: Log): Mirror[] {
  return claims.filter(({ carrier }) => carrier !== undefined).map((claim) => mirrorOf(claim, callerHost, log));
}
