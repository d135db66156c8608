import { lstat, open, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { systemErrorCode } from '../../../src/errors.ts';
import { beforeOf, pointedResolvConf, type ResolvConfBefore, type ResolvConfEdit } from './resolv-conf.ts';

const DEFAULT_MODE = 0o644;

/** @param path resolv.conf, a file, a link or nothing; what a dead session of ours left counts as what it replaced */
export async function readBefore(path: string): Promise<ResolvConfBefore> {
  const stat = await lstat(path).catch(ifMissing);
  const link = stat?.isSymbolicLink() === true ? await readlink(path) : undefined;
  const text = await readFile(path, 'utf8').catch(ifMissing);
  const ours = text === undefined || link !== undefined ? undefined : beforeOf(text);
  if (ours !== undefined) return await followed(path, ours);
  const isFile = stat !== undefined && link === undefined;
  return {
    text,
    link,
    mode: isFile ? stat.mode & 0o7777 : DEFAULT_MODE,
    uid: isFile ? stat.uid : 0,
    gid: isFile ? stat.gid : 0,
  };
}

/** A link we have replaced: its file goes on following the networks the laptop is in (NetworkManager's, a DHCP client's). */
async function followed(path: string, before: ResolvConfBefore): Promise<ResolvConfBefore> {
  if (before.link === undefined) return before;
  const text = await readFile(resolve(dirname(path), before.link), 'utf8').catch(() => before.text); // gone with its program
  return { ...before, text };
}

/**
 * Whether resolv.conf is ours and says what it would if it were written now.
 * @returns undefined when there is none
 */
export async function isPointed(path: string): Promise<boolean | undefined> {
  const text = await readFile(path, 'utf8').catch(ifMissing);
  if (text === undefined) return undefined;
  const before = beforeOf(text);
  return before !== undefined && (await followed(path, before)).text === before.text;
}

/** Puts our nameserver in front. A link is replaced, not followed: its file belongs to another program. */
export async function pointResolvConf(path: string, edit: ResolvConfEdit): Promise<void> {
  const before = await readBefore(path);
  await put(path, pointedResolvConf(before, edit), before);
}

/** Puts back what was there, unless somebody else has written the file meanwhile. @returns whether it was ours */
export async function restoreResolvConf(path: string): Promise<boolean> {
  const stat = await lstat(path).catch(ifMissing);
  if (stat === undefined || stat.isSymbolicLink()) return false;
  const before = beforeOf(await readFile(path, 'utf8'));
  if (before === undefined) return false;
  if (before.link !== undefined) {
    const scratch = scratchOf(path);
    await rm(scratch, { force: true });
    await symlink(before.link, scratch);
    await rename(scratch, path);
  } else if (before.text === undefined) await rm(path);
  else await put(path, before.text, before);
  return true;
}

/** Readers see the old or the new file, except where it is a mount of its own (containers): that can only be written over. */
async function put(path: string, text: string, { mode, uid, gid }: ResolvConfBefore): Promise<void> {
  const scratch = scratchOf(path);
  try {
    await rm(scratch, { force: true });
    const file = await open(scratch, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.chmod(mode);
      await file.chown(uid, gid);
      await file.sync(); // an empty file after a power cut would be a laptop without names
    } finally {
      await file.close();
    }
    await rename(scratch, path);
  } catch (error) {
    await rm(scratch, { force: true }).catch(() => {}); // EROFS, with what made it fail
    if (!['EBUSY', 'EXDEV', 'EROFS', 'EACCES', 'EPERM'].includes(systemErrorCode(error) ?? '')) throw error;
    await writeOver(path, text);
  }
}

async function writeOver(path: string, text: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const bytes = Buffer.from(text);
    await file.write(bytes, 0, bytes.length, 0); // then the rest goes: no reader ever finds it empty
    await file.truncate(bytes.length);
    await file.sync();
  } finally {
    await file.close();
  }
}

function scratchOf(path: string): string {
  return `${path}.kube-intercept`;
}

function ifMissing(error: unknown): undefined {
  if (systemErrorCode(error) === 'ENOENT') return undefined;
  throw error;
}
