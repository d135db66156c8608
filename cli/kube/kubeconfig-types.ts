/** TLS options towards the API server; PEM texts. Client certificates of exec plugins are in `Credentials`. */
export interface KubeTls {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** The name to check the certificate against when it is not the URL's host. */
  readonly servername: string | undefined;
  readonly rejectUnauthorized: boolean;
}

/** What proves the user to the API server, valid now. */
export interface Credentials {
  /** The value of the Authorization header. */
  readonly authorization: string | undefined;
  /** PEM texts of the client certificate, from the kubeconfig or from an exec plugin. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** One cluster as one user of one context: where it is and how to be let in. */
export interface KubeAccess {
  /** `https://host:port`, maybe with a path prefix; no trailing slash. */
  readonly server: string;
  /** The context's namespace, or `default`. */
  readonly namespace: string;
  readonly contextName: string;
  readonly clusterName: string;
  readonly userName: string;
  /** Where the kubeconfig was read from: file paths, or `in-cluster service account`. */
  readonly source: string;
  readonly tls: KubeTls;
  /** Headers of every request beside Authorization (impersonation). */
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** `http://…`, `https://…` or `socks5://…`; undefined: connect directly. */
  readonly proxyUrl: string | undefined;
  /** How the user logs in, for hints: `exec plugin aws`, `token`, `client certificate`, … */
  readonly userKind: string;
  /** Credentials valid now: cached, read again or made by the exec plugin. @throws KUBECONFIG_INVALID, CLUSTER_UNAUTHORIZED */
  credentials(signal?: AbortSignal): Promise<Credentials>;
  /** The Authorization header's value of credentials(). */
  authorization(signal?: AbortSignal): Promise<string | undefined>;
  /** Drops cached credentials the server refused. @returns whether asking again may give others */
  forgetCredentials(refused: Credentials): boolean;
}
