// What is taken out of a head before it is compared.

/** Each `%xx` decoded; as it is where that makes no UTF-8. */
export function percentDecoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // URIError: a % that stands for itself
  }
}

/** The first parameter of that name, decoded as forms are (`+` is a space); '' where it has no `=`. */
export function queryValue(query: string, name: string): string | undefined {
  if (query === '') return undefined;
  for (const parameter of query.split('&')) {
    const equals = parameter.indexOf('=');
    const itsName = equals < 0 ? parameter : parameter.slice(0, equals);
    if (parameter === '' || formDecoded(itsName) !== name) continue;
    return equals < 0 ? '' : formDecoded(parameter.slice(equals + 1));
  }
  return undefined;
}

/** The authority without its port, in lower case; an IPv6 address keeps its brackets. */
export function hostOf(authority: string): string {
  return authority.replace(/:\d*$/, '').toLowerCase();
}

function formDecoded(text: string): string {
  return percentDecoded(text.includes('+') ? text.replaceAll('+', ' ') : text);
}
