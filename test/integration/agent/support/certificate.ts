import forge from 'node-forge';

/** A self-signed certificate as the installing session makes one, PEM. */
export function makeCertificate(): { tlsKey: string; tlsCert: string } {
  const keys = forge.pki.rsa.generateKeyPair({ bits: 2048 });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = keys.publicKey;
  certificate.serialNumber = '01';
  certificate.validity.notBefore = new Date(Date.now() - 60_000);
  certificate.validity.notAfter = new Date(Date.now() + 3_600_000);
  const name = [{ name: 'commonName', value: 'kube-intercept-agent' }];
  certificate.setSubject(name);
  certificate.setIssuer(name);
  certificate.sign(keys.privateKey, forge.md.sha256.create());
  return {
    tlsKey: forge.pki.privateKeyToPem(keys.privateKey),
    tlsCert: forge.pki.certificateToPem(certificate),
  };
}
