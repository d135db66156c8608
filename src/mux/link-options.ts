import type { Log } from '../log.ts';
import type { LinkLimits } from './limits.ts';

export interface LinkOptions {
  /** The session makes it, the agent takes the session's. Default: a random one. */
  readonly id?: string;
  /** How long it lives without a carrier; both ends must have agreed on it. 0: it ends with its carrier and keeps nothing. */
  readonly resumeForMs: number;
  readonly limits?: Partial<LinkLimits>;
  readonly log?: Log;
  readonly onAttached?: () => void;
  /** Its carrier is gone; it goes on with the next, or ends after `resumeForMs`. Not called at its end. */
  readonly onDetached?: (reason: Error) => void;
}
