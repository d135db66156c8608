import { readFile } from 'node:fs/promises';
import { parseResolvConf } from '../../../src/dns/resolv-conf.ts';
import { errorText } from '../../../src/errors.ts';
import { isRecord } from '../../../src/is-record.ts';
import { perform, run } from './perform.ts';
import { planResolvConf, planResolved, resolvedDomains } from './plan-linux.ts';
import { isPointed } from './resolv-conf-file.ts';
import type { Wiring, WiringOptions } from './wiring.ts';

const STUB_ADDRESSES: readonly string[] = ['127.0.0.53', '127.0.0.54'];
/** DHCP clients and VPN programs write resolv.conf when the laptop changes networks. */
const LOOK_EVERY_MS = 2_000;
/** Another program that puts its own back each time wins. */
const MAX_REWRITES = 20;

/** systemd-resolved where programs ask it, resolv.conf elsewhere. */
export async function wireLinux(options: WiringOptions): Promise<Wiring> {
  return (await asksResolved(options.resolvConf)) ? await wireResolved(options) : await wireResolvConf(options);
}

async function asksResolved(resolvConf: string): Promise<boolean> {
  const text = await readFile(resolvConf, 'utf8').catch(() => ''); // ENOENT: libc asks 127.0.0.1
  if (!parseResolvConf(text).nameservers.some((address) => STUB_ADDRESSES.includes(address))) return false;
  return await run(['resolvectl', '--no-pager', 'dns']).then(
    () => true,
    () => false, // not there, or not running: somebody else's stub
  );
}

async function wireResolved({ journal, wish, log }: WiringOptions): Promise<Wiring> {
  await journal.make(planResolved(wish));
  return {
    by: 'systemd-resolved',
    update: async (next) => {
      for (const action of resolvedDomains(next)) {
        await perform(action).catch((error: unknown) => log.warn('domains not told', { reason: errorText(error) }));
      }
    },
    close: () => {},
  };
}

async function wireResolvConf({ journal, wish, resolvConf, log, warn }: WiringOptions): Promise<Wiring> {
  const change = planResolvConf(wish, { path: resolvConf, musl: isMusl() });
  await journal.make(change);
  let rewrites = 0;
  let busy = false;
  const look = async (): Promise<void> => {
    if (busy || rewrites >= MAX_REWRITES) return;
    busy = true;
    try {
      if ((await isPointed(resolvConf)) !== false) return; // undefined: between a remove and a write
      rewrites += 1;
      log.info('resolv.conf was rewritten by another program; taken as the laptop’s own', { path: resolvConf });
      if (rewrites === MAX_REWRITES) warn(`another program keeps writing ${resolvConf}: it is left alone from now on`);
      for (const action of change.apply) await perform(action); // its undo is in the journal already
    } catch (error) {
      log.warn('resolv.conf not rewritten', { reason: errorText(error) });
    } finally {
      busy = false;
    }
  };
  const timer = setInterval(() => void look(), LOOK_EVERY_MS);
  timer.unref();
  return { by: resolvConf, update: async () => {}, close: () => clearInterval(timer) };
}

/** Whether programs here resolve by musl: the same libc as this one's. */
function isMusl(): boolean {
  const report: unknown = process.report?.getReport();
  return isRecord(report) && isRecord(report.header) && report.header.glibcVersionRuntime === undefined;
}
