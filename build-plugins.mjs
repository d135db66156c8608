import { readFile } from 'node:fs/promises';

/**
 * What is replaced in http-proxy 1.18.1. Node >= 22 prints DEP0060 when `util._extend` is called, wherever it is called
 * from; Node >= 24 prints DEP0169 when `url.parse` is called outside node_modules, which is where a bundle is.
 * `target` goes to http-proxy as an object, so its other `url.parse` calls are never reached.
 */
const HTTP_PROXY_REPLACEMENTS = [
  ["require('util')._extend", 'Object.assign'],
  ["url.parse(req.url).path || ''", "req.url || ''"],
];
/** Files that must have lost each text: a new http-proxy whose text differs has to be looked at, not passed silently. */
const HTTP_PROXY_EXPECTED = { 'index.js': 1, 'common.js': 2 };

/**
 * esbuild plugin: http-proxy without the calls that print DEP0060 and DEP0169.
 * (DEP0040, punycode, is whatwg-url's under node-fetch: cure it with `alias: { punycode: 'punycode/' }`.)
 * @type {import('esbuild').Plugin}
 * @throws (as a build error) when a replaced text is not there any more
 */
export const httpProxyPatches = {
  name: 'http-proxy-patches',
  setup(build) {
    build.onLoad({ filter: /[\\/]http-proxy[\\/]lib[\\/]http-proxy[\\/](index|common)\.js$/ }, async ({ path }) => {
      let contents = await readFile(path, 'utf8');
      let replaced = 0;
      for (const [from, to] of HTTP_PROXY_REPLACEMENTS) {
        if (!contents.includes(from)) continue;
        contents = contents.replaceAll(from, to);
        replaced += 1;
      }
      const expected = HTTP_PROXY_EXPECTED[path.split(/[\\/]/).at(-1)];
      if (replaced !== expected) return { errors: [{ text: `${path}: ${replaced} of ${expected} texts replaced` }] };
      return { contents, loader: 'js' };
    });
  },
};
