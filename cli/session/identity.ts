import { randomBytes } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import type { SessionIdentity } from '../../src/protocol/control.ts';

/** Who this session is to its colleagues: the laptop's user and host, and a random id. */
export function newIdentity(): SessionIdentity {
  return { sessionId: randomBytes(9).toString('base64url'), user: userName(), host: hostname() };
}

/** `user@host`, as shown to colleagues. */
export function whoIs(identity: { user: string; host: string }): string {
  return `${identity.user}@${identity.host}`;
}

/** The laptop user's name, whoever gave root's rights by sudo; a uid without a passwd entry (containers) shows as `uid-1234`. */
export function userName(): string {
  const { SUDO_USER } = process.env;
  if (process.getuid?.() === 0 && SUDO_USER !== undefined && SUDO_USER !== '') return SUDO_USER;
  try {
    return userInfo().username;
  } catch {
    // userInfo() throws SystemError for a uid without a passwd entry.
    return process.env.USER ?? process.env.LOGNAME ?? `uid-${process.getuid?.() ?? 'unknown'}`;
  }
}
