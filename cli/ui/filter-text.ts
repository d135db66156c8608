import type { Condition, Filter, TextMatch } from '../../src/http/filter.ts';

/** A filter for people: `x-user: dev-1 and path /api`. */
export function filterText({ match, conditions }: Filter): string {
  return conditions.map(conditionText).join(match === 'all' ? ' and ' : ' or ');
}

/** One condition, as it is typed behind its option. */
function conditionText(condition: Condition): string {
  switch (condition.on) {
    case 'header':
      return withName(condition.name, ': ', condition.match);
    case 'query':
      return `query ${withName(condition.name, '=', condition.match)}`;
    case 'path':
    case 'method':
    case 'host':
      return `${condition.on} ${matchText(condition.match, condition.on === 'path')}`;
    case 'personal':
      return `key ${condition.key}=${condition.value}`;
    default:
      return condition satisfies never;
  }
}

function withName(name: string, between: string, match: TextMatch): string {
  return match.kind === 'present' ? name : `${name}${between}${matchText(match, false)}`;
}

function matchText(match: TextMatch, isPath: boolean): string {
  switch (match.kind) {
    case 'exact':
      return isPath ? `=${match.value}` : match.value;
    case 'prefix':
      return match.value;
    case 'regex':
      return `~${match.pattern}`;
    case 'present':
      return 'any';
    default:
      return match satisfies never;
  }
}
