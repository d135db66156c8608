// @kubernetes/client-node 1.4.0 is used for its KubeConfig alone, but does not say that its modules are free of side effects,
// so a bundle keeps the classes of every API object, and node-fetch with its Unicode tables. Measured (bundled, Node 20, median
// of 9): 855 KB and 69 ms to load; with this plugin 200 KB and 27 ms.

/** Evaluating these does nothing but define. */
const PURE_PACKAGE =
  /[\\/]node_modules[\\/](@kubernetes[\\/]client-node|openid-client|oauth4webapi|jsonpath-plus)[\\/]/;

/** Node's own, looked up when called: touching globalThis.fetch or Headers loads them, which takes 20 ms. */
const FETCH = `
export function Headers(...args) { return new globalThis.Headers(...args); }
export function Request(...args) { return new globalThis.Request(...args); }
export function Response(...args) { return new globalThis.Response(...args); }
export class AbortError extends Error {}
export class FetchError extends Error {}
export default function fetch(...args) { return globalThis.fetch(...args); }
`;

/**
 * esbuild plugin: of client-node only what is imported.
 * @type {import('esbuild').Plugin}
 */
export const slimClientNode = {
  name: 'slim-client-node',
  setup(build) {
    const seen = Symbol('resolved once');
    build.onResolve({ filter: /^node-fetch$/ }, () => ({ path: 'node-fetch', namespace: 'node-own-fetch' }));
    build.onLoad({ filter: /.*/, namespace: 'node-own-fetch' }, () => ({ contents: FETCH, loader: 'js' }));
    build.onResolve(
      { filter: /^(\.{1,2}\/|@kubernetes\/client-node$|openid-client$|oauth4webapi$|jsonpath-plus$)/ },
      async (args) => {
        if (args.pluginData === seen || args.namespace !== 'file') return undefined;
        const { importer, kind, resolveDir } = args;
        if (args.path.startsWith('.') && !PURE_PACKAGE.test(importer)) return undefined;
        const resolved = await build.resolve(args.path, { importer, kind, resolveDir, pluginData: seen });
        return PURE_PACKAGE.test(resolved.path) ? { ...resolved, sideEffects: false } : resolved;
      },
    );
  },
};
