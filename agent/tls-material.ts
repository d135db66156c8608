import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { errorText } from '../src/errors.ts';
import type { Intercept, TlsMaterial } from '../src/protocol/control.ts';
import { MAX_PEM_BYTES } from './limits.ts';
import { RequestFailure } from './request-failure.ts';
import { FileRefusal, openVolumeFile } from './volumes/file.ts';
import { POD_VOLUME_PLACES, readVolumeRoots, type VolumePlaces } from './volumes/roots.ts';

/** PEM texts of a certificate (its chain behind it) and the key that fits it. */
export interface Pems {
  readonly certificate: string;
  readonly key: string;
}

/**
 * The intercepts with what TLS is ended with as text, read from the app's volumes where it came as paths.
 * @throws RequestFailure TLS_UNUSABLE: not there, not readable, no certificate, or a key that does not fit
 */
export async function withTlsTexts(
  intercepts: readonly Intercept[],
  places: VolumePlaces = POD_VOLUME_PLACES,
): Promise<Intercept[]> {
  return await Promise.all(
    intercepts.map(async (intercept) => {
      const { tls } = intercept;
      return tls === undefined ? intercept : { ...intercept, tls: checked(await readPems(tls, places)) };
    }),
  );
}

async function readPems(tls: TlsMaterial, places: VolumePlaces): Promise<Pems> {
  if ('certificate' in tls) return tls;
  return { certificate: await readText(tls.certificatePath, places), key: await readText(tls.keyPath, places) };
}

async function readText(path: string, places: VolumePlaces): Promise<string> {
  let size: number;
  try {
    const opened = await openVolumeFile(await readVolumeRoots(places), path);
    try {
      ({ size } = opened);
      if (size <= MAX_PEM_BYTES) return await opened.handle.readFile('utf8');
    } finally {
      await opened.handle.close();
    }
  } catch (failure) {
    if (!(failure instanceof FileRefusal)) throw unusable(`${path} cannot be read: ${errorText(failure)}`);
    if (failure.reason === 'not-found') throw unusable(`${path} is not a file in the app's volumes`);
    throw unusable(`the agent's user may not read ${path}`);
  }
  throw unusable(`${path} is too large for a certificate or key: ${size} bytes`);
}

function checked(pems: Pems): Pems {
  let certificate: X509Certificate;
  let key: KeyObject;
  try {
    certificate = new X509Certificate(pems.certificate);
  } catch {
    throw unusable('the certificate is no PEM certificate');
  }
  try {
    key = createPrivateKey(pems.key);
  } catch {
    throw unusable('the key is no PEM private key, or needs a passphrase');
  }
  if (!certificate.checkPrivateKey(key)) throw unusable('the key does not fit the certificate');
  return pems;
}

function unusable(why: string): RequestFailure {
  return new RequestFailure('TLS_UNUSABLE', `TLS cannot be ended: ${why}`);
}
