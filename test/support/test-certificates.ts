import { generateKeyPairSync } from 'node:crypto';
import { isIP } from 'node:net';
import forge from 'node-forge';

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

const DAY_MS = 86_400_000;

/** One RSA key for all certificates of a test file: making one takes 100 ms. */
let keys: { publicKey: string; privateKey: string } | undefined;

/** A certificate for `names` (DNS names and IP addresses), signed by `issuer`; an authority of its own without one. */
export function makeCertificate(
  names: readonly string[],
  issuer?: TestCertificate,
  validity: { notBefore?: Date; notAfter?: Date } = {},
): TestCertificate {
  keys ??= generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(keys.publicKey);
  certificate.serialNumber = '01';
  certificate.validity.notBefore = validity.notBefore ?? new Date(Date.now() - DAY_MS);
  certificate.validity.notAfter = validity.notAfter ?? new Date(Date.now() + DAY_MS);
  const subject = [{ name: 'commonName', value: names[0] ?? 'test' }];
  certificate.setSubject(subject);
  certificate.setIssuer(issuer === undefined ? subject : forge.pki.certificateFromPem(issuer.cert).subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: issuer === undefined },
    {
      name: 'subjectAltName',
      altNames: names.map((name) => (isIP(name) ? { type: 7, ip: name } : { type: 2, value: name })),
    },
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(issuer?.key ?? keys.privateKey), forge.md.sha256.create());
  return { cert: forge.pki.certificateToPem(certificate), key: keys.privateKey };
}
