import { InterceptorError } from '../errors.ts';

/** Protocol versions this build speaks, newest first. A change of wire bytes adds one here and to PROTOCOL.md. */
export const PROTOCOL_VERSIONS: readonly number[] = [2];

/**
 * The newest version both sides speak.
 * @param offered what the agent says it speaks, in any order
 * @throws InterceptorError TUNNEL_VERSION when there is none
 */
export function chooseVersion(offered: readonly number[], spoken: readonly number[] = PROTOCOL_VERSIONS): number {
  const common = spoken.filter((version) => offered.includes(version));
  if (common.length === 0) {
    throw new InterceptorError(
      'TUNNEL_VERSION',
      `the agent speaks protocol ${list(offered)}, this program speaks ${list(spoken)}`,
      { hint: 'use the version of the session that installed the agent, or end that session and start anew' },
    );
  }
  return Math.max(...common);
}

function list(versions: readonly number[]): string {
  return versions.length === 0 ? 'none' : versions.slice(0, 8).join(', ');
}
