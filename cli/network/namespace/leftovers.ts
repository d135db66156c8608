import { readdir, readlink } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { systemErrorCode } from '../../../src/errors.ts';

/** Between the request to end and the end. */
const PATIENCE_MS = 2_000;
const POLL_MS = 50;

/**
 * Ends what a command has left behind in its network (background jobs, daemons of its own session): with the tunnel gone
 * it would reach nothing for ever. Asks first, while the network still works, then insists.
 * @param helper the pid of the process that keeps the namespace; it stays
 * @returns the pids that had to be told
 */
export async function endLeftovers(helper: number, patienceMs = PATIENCE_MS): Promise<readonly number[]> {
  const network = await networkOf(helper);
  if (network === undefined || network === (await networkOf(process.pid))) return []; // it has ended, and its pid is another's
  const told = await inNetwork(network, helper);
  for (const pid of told) send(pid, 'SIGTERM');
  const insistAt = performance.now() + patienceMs;
  for (let left = told; left.length > 0; left = await inNetwork(network, helper)) {
    if (performance.now() >= insistAt) {
      for (const pid of left) send(pid, 'SIGKILL'); // those too that were started meanwhile
      break;
    }
    await pause(POLL_MS);
  }
  return told;
}

/** Processes of this user whose network is that one; those of others cannot be looked at. */
async function inNetwork(network: string, helper: number): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const networks = await Promise.all(pids.map(networkOf));
  return pids.filter((pid, index) => networks[index] === network && pid !== helper && pid !== process.pid);
}

/** @returns `net:[4026531840]`; undefined for one that has ended, or another user's */
async function networkOf(pid: number): Promise<string | undefined> {
  return await readlink(`/proc/${pid}/ns/net`).catch(() => undefined); // ENOENT, EACCES
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH' && systemErrorCode(error) !== 'EPERM') throw error; // gone, or a setuid program
  }
}
