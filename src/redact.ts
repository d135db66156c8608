const HIDDEN = '[redacted]';

/** What gives access, as it may stand in words of others: a plugin's stderr, an answer of a proxy, an error of a library. */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]*?(?:-----END \1-----|$)/g, HIDDEN],
  // JSON Web Tokens: service accounts, OpenID Connect
  [/\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?/g, HIDDEN],
  [/\b(Bearer) +[\w.~+/=-]{8,}/gi, `$1 ${HIDDEN}`],
  [/\b(Basic) +(?=[A-Za-z+/]*[\d=])[\w+/]{4,}={0,2}/g, `$1 ${HIDDEN}`],
  [/\b(Authorization["']?\s*[:=]\s*["']?Basic) +[\w+/]+={0,2}/gi, `$1 ${HIDDEN}`],
  // user:password@ of a URL
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@:]*:[^\s/@]+@/gi, `$1${HIDDEN}@`],
  // "token": "…", and token=…
  [
    /("(?:\w*[_-]?(?:token|password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key)|[\w-]*key-data|[\w-]*authorization)"\s*:\s*)"(?:[^"\\]|\\.)*"?/gi,
    `$1"${HIDDEN}"`,
  ],
  [
    /\b(\w*(?:token|password|passwd|secret|api[_-]?key|access[_-]?key)=)(?:"[^"]*"?|'[^']*'?|[^\s,;&"']+)/gi,
    `$1${HIDDEN}`,
  ],
];

/**
 * Text for logs and errors, without what would let a reader in. Our own messages hold nothing of the kind; those that we pass
 * on may. It knows what credentials look like: a value of an environment variable looks like anything, and is never put
 * into such a text in the first place.
 */
export function redact(text: string): string {
  return PATTERNS.reduce((left, [pattern, instead]) => left.replace(pattern, instead), text);
}
