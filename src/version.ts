declare const __VERSION__: string | undefined;

/** The version of package.json, set by build.mjs; `0.0.0-source` when run from source. */
export const VERSION: string = typeof __VERSION__ === 'string' ? __VERSION__ : '0.0.0-source';
