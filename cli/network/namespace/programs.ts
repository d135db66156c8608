import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** Folders of programs that an ordinary user's PATH often lacks. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin', '/usr/local/sbin', '/usr/bin', '/bin'];

/** What namespace mode runs. */
export interface Programs {
  readonly python3: string;
  readonly nft: string;
  readonly ip: string;
}

/** Packages that bring them, in Debian's names. */
export const PACKAGES: Readonly<Record<keyof Programs, string>> = {
  python3: 'python3',
  nft: 'nftables',
  ip: 'iproute2',
};

/** @returns the programs, or the name of the first that is missing */
export function findPrograms(path: string): Programs | { readonly missing: keyof Programs } {
  const folders = [...path.split(delimiter).filter(isAbsolute), ...SYSTEM_FOLDERS];
  // The system's own Python first: a version manager's shim in PATH is a shell script that takes 100 ms.
  const python3 = findIn(['/usr/bin', ...folders], 'python3');
  const nft = findIn(folders, 'nft');
  const ip = findIn(folders, 'ip');
  if (python3 === undefined) return { missing: 'python3' };
  if (nft === undefined) return { missing: 'nft' };
  if (ip === undefined) return { missing: 'ip' };
  return { python3, nft, ip };
}

/**
 * Where execvp(3) would find a command.
 * @param path a PATH; an empty part of it is the working directory
 */
export function findCommand(file: string, path: string, cwd: string): string | undefined {
  if (file.includes('/')) return isProgram(isAbsolute(file) ? file : join(cwd, file)) ? file : undefined;
  const folders = path.split(delimiter).map((folder) => (isAbsolute(folder) ? folder : join(cwd, folder)));
  return findIn(folders, file);
}

function findIn(folders: readonly string[], name: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false; // ENOENT, EACCES
  }
}
