import { readFile } from 'node:fs/promises';
import { brotliCompressSync, constants } from 'node:zlib';
import { InterceptorError } from '../../src/errors.ts';
import type { ClusterOptions } from '../common-options.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { contentHash } from '../kube/names.ts';
import { cleanUpFor } from '../session/janitor.ts';

export interface JanitorOptions extends ClusterOptions {
  readonly manifest?: boolean;
  /** Of the manifest. */
  readonly image: string;
}

/** kubectl apply copies the object into an annotation; all of an object's annotations together may have 256 KiB. */
const MAX_MANIFEST_BYTES = 250 * 1024;

/** `intercept janitor`: prints the manifest, or runs the janitor here until it is told to end. @returns the exit code */
export async function janitor(options: JanitorOptions): Promise<number> {
  if (options.manifest === true) {
    process.stdout.write(await janitorManifest(options.image));
    return 0;
  }
  const access = await loadKubeConfig(options);
  await cleanUpFor({ ...access, namespace: options.namespace ?? access.namespace });
  return 0;
}

/**
 * The YAML of deploy/janitor/janitor.yaml with its code beside it, for `kubectl apply -f -`.
 * @throws InterceptorError INTERNAL when the package is broken
 */
export async function janitorManifest(image: string): Promise<string> {
  const [yaml, code] = await Promise.all([
    readPart('../janitor.yaml', '../../deploy/janitor/janitor.yaml'),
    readPart('../janitor.mjs', '../../dist/janitor.mjs'),
  ]);
  const packed = brotliCompressSync(code, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: Buffer.byteLength(code) } });
  const configMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'kube-intercept-janitor', labels: { 'app.kubernetes.io/name': 'kube-intercept-janitor' } },
    binaryData: { 'janitor.mjs.br': packed.toString('base64') },
  };
  const text = JSON.stringify(configMap);
  if (text.length > MAX_MANIFEST_BYTES)
    throw new InterceptorError(
      'INTERNAL',
      `the janitor's code has ${text.length} bytes packed: too much for kubectl apply`,
    );
  const filled = yaml
    .replaceAll('$IMAGE', JSON.stringify(image))
    .replaceAll('$CODE_HASH', JSON.stringify(contentHash(code)));
  return `${filled}---\n${text}\n`;
}

/** @param built beside the chunk that this is in @param source beside this file */
async function readPart(built: string, source: string): Promise<string> {
  try {
    return await readFile(new URL(import.meta.url.endsWith('.ts') ? source : built, import.meta.url), 'utf8');
  } catch (cause) {
    throw new InterceptorError('INTERNAL', 'the janitor is missing from this installation', {
      hint: 'install kube-intercept again; in a checkout: npm run build',
      cause,
    });
  }
}
