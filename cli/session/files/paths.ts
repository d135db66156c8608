/** As PATH_MAX and NAME_MAX of Linux, in bytes. */
const MAX_PATH_BYTES = 4096;
const MAX_NAME_BYTES = 255;
/** Names that Windows takes for something else: a drive, a stream, a separator, a device. */
const NO_WINDOWS_NAME = /[<>:"\\|?*]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * The names of a path of the app as the agent tells it, from `/` down; undefined when it may not be written below a folder:
 * relative, `.` or `..` in it, a NUL, too long, or (on Windows) a name that means something else there. Pure.
 */
export function pathNames(path: string, platform: NodeJS.Platform = process.platform): string[] | undefined {
  if (!path.startsWith('/') || path.includes('\0') || Buffer.byteLength(path) > MAX_PATH_BYTES) return undefined;
  const names = path.split('/').filter((name) => name !== '');
  if (names.length === 0) return undefined;
  const bad = (name: string): boolean =>
    name === '.' ||
    name === '..' ||
    Buffer.byteLength(name) > MAX_NAME_BYTES ||
    Buffer.from(name).toString() !== name || // half a surrogate pair
    (platform === 'win32' && NO_WINDOWS_NAME.test(name));
  return names.some(bad) ? undefined : names;
}
