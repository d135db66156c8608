/** Content of the agent's Secret: who holds it may use the agent. */
export interface AgentCredentials {
  /** 32 random bytes as base64url: both ends of the tunnel prove that they hold them. */
  readonly key: string;
  /** PEM of the agent's private key. */
  readonly tlsKey: string;
  /** PEM of its self-signed certificate: the only one the session accepts. */
  readonly tlsCert: string;
}

/** Makes new credentials: RSA-2048 in a thread of node:crypto, certificate for `commonName` valid 10 years. */
export async function makeCredentials(commonName: string): Promise<AgentCredentials> {
  throw new Error(`not built yet ${commonName}`);
}
