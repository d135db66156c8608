import { readFile } from 'node:fs/promises';
import { Helper, HelperFailure } from './helper.ts';
import { findPrograms, PACKAGES } from './programs.ts';
import { helperTask } from './task.ts';

/** Whether namespace mode works here, and if not, why: one sentence with the remedy. */
export type NamespaceProbe = { readonly works: true } | { readonly works: false; readonly reason: string };

/** Sets a namespace up and lets it go, in about 70 ms: so what it says is so. Nothing is remembered. */
export async function probeNamespace(): Promise<NamespaceProbe> {
  if (process.platform !== 'linux') return { works: false, reason: 'namespaces are a thing of Linux' };
  const programs = findPrograms(process.env.PATH ?? '');
  if ('missing' in programs) {
    const { missing } = programs;
    return { works: false, reason: `${missing} is not installed; it is in the package ${PACKAGES[missing]}` };
  }
  try {
    await Helper.probe(programs, await helperTask(programs, { search: [], ndots: 1 }, []));
    return { works: true };
  } catch (cause) {
    return { works: false, reason: await namespaceReason(cause) };
  }
}

/** Why the helper could not do its work, with the remedy. */
export async function namespaceReason(cause: unknown): Promise<string> {
  if (!(cause instanceof HelperFailure)) return String(cause);
  const [restricted, max] = await Promise.all([
    readSetting('kernel/apparmor_restrict_unprivileged_userns'),
    readSetting('user/max_user_namespaces'),
  ]);
  return describeFailure(cause, { restricted: restricted === '1', max: max === undefined ? undefined : Number(max) });
}

/** The sentence for a failed step, given the kernel's settings. */
export function describeFailure(
  failure: { readonly step: string; readonly message: string },
  settings: { readonly restricted: boolean; readonly max: number | undefined },
): string {
  const why = failure.message === '' ? 'no reason given' : failure.message;
  // AppArmor lets the namespace be made, and takes the capabilities in it.
  if (settings.restricted && failure.step !== 'nft')
    return 'AppArmor forbids user namespaces; to allow them: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0';
  if (failure.step === 'namespaces') {
    if (settings.max === 0)
      return 'user namespaces are switched off; to allow them: sudo sysctl user.max_user_namespaces=10000';
    return `user namespaces are forbidden here (${why}); a container needs a seccomp profile that allows unshare`;
  }
  if (failure.step === 'nft')
    return `the kernel lacks a part of nftables (${why}); try: sudo modprobe -a nf_tables nft_tproxy nft_socket`;
  return `the namespace cannot be set up: ${failure.step}: ${why}`;
}

async function readSetting(name: string): Promise<string | undefined> {
  const text = await readFile(`/proc/sys/${name}`, 'utf8').catch(() => undefined); // ENOENT: a kernel without it
  return text?.trim();
}
