// Which requests an intercept takes: what is typed on the laptop, sent to the agents and shown to colleagues.

/**
 * How a text is compared. Regular expressions are RE2's (linear time), found anywhere in the text unless anchored; `prefix` is by
 * whole segments of a path: /api is a prefix of /api and /api/x, not of /apis, and
 * a slash at its end says nothing more.
 */
export type TextMatch =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'prefix'; readonly value: string }
  | { readonly kind: 'regex'; readonly pattern: string }
  | { readonly kind: 'present' };

/**
 * One condition on one thing that a request has at most once, so that two exact conditions on the same thing exclude each other:
 * - `header`: name in lower case; several lines of one name count as one value, joined by ", " (RFC 9110 §5.3)
 * - `query`: the first parameter of that name, decoded as forms are (`+` is a space)
 * - `path`: the target's path as sent, without the query
 * - `host`: the authority without its port, in lower case
 * - `personal`: the key of the first of `baggage`, `tracestate` and `cookie` that has it, its value percent-decoded
 */
export type Condition =
  | { readonly on: 'header'; readonly name: string; readonly match: TextMatch }
  | { readonly on: 'query'; readonly name: string; readonly match: TextMatch }
  | { readonly on: 'path'; readonly match: TextMatch }
  | { readonly on: 'method'; readonly match: TextMatch }
  | { readonly on: 'host'; readonly match: TextMatch }
  | { readonly on: 'personal'; readonly key: string; readonly value: string };

/** At least one condition: all of them must hold, or any. */
export interface Filter {
  readonly match: 'all' | 'any';
  readonly conditions: readonly Condition[];
}
