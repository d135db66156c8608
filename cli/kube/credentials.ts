import { generateKeyPair, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

/** Content of the agent's Secret: who holds it may use the agent. */
export interface AgentCredentials {
  /** 32 random bytes as base64url: both ends of the tunnel prove that they hold them. */
  readonly key: string;
  /** PEM of the agent's private key. */
  readonly tlsKey: string;
  /** PEM of its self-signed certificate: the only one the session accepts. */
  readonly tlsCert: string;
}

const KEY_BYTES = 32;
const RSA_BITS = 2048;
/** Of X.509's commonName (RFC 5280, ub-common-name); the full name is in subjectAltName. */
const MAX_COMMON_NAME = 64;
/** A kept agent must not fail for age; the key goes with the install, long before. */
export const CERTIFICATE_YEARS = 10;
/** Clocks of laptop and node differ. */
const BACKDATED_MS = 24 * 3600 * 1000;

/**
 * Makes new credentials: RSA-2048 in a thread of node:crypto (0.1 s), a self-signed certificate for `name` valid for
 * CERTIFICATE_YEARS. node-forge is loaded here and nowhere else: it is not in the start path.
 * @param name the workload's, for subject and subjectAltName
 */
export async function makeCredentials(name: string): Promise<AgentCredentials> {
  const [{ privateKey, publicKey }, { default: forge }] = await Promise.all([
    promisify(generateKeyPair)('rsa', {
      modulusLength: RSA_BITS,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    }),
    import('node-forge'),
  ]);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = `01${randomBytes(15).toString('hex')}`; // positive, 128 bits (RFC 5280 §4.1.2.2)
  const now = Date.now();
  certificate.validity.notBefore = new Date(now - BACKDATED_MS);
  certificate.validity.notAfter = new Date(now);
  certificate.validity.notAfter.setUTCFullYear(certificate.validity.notAfter.getUTCFullYear() + CERTIFICATE_YEARS);
  const subject = [{ name: 'commonName', value: name.slice(0, MAX_COMMON_NAME) }];
  certificate.setSubject(subject);
  certificate.setIssuer(subject);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectAltName', altNames: [{ type: 2, value: name }] }, // 2: dNSName
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create());
  const tlsCert = forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n');
  return { key: randomBytes(KEY_BYTES).toString('base64url'), tlsKey: privateKey, tlsCert };
}
