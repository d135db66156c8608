import type { Filter } from '../../src/http/filter.ts';
import { filterText } from './filter-options.ts';

/** A filter as it is typed; of a newer version, with conditions that this one does not know, as it came. */
export function shownFilter(filter: Filter): string {
  try {
    return filterText(filter);
  } catch {
    return JSON.stringify(filter.conditions); // TypeError: an unknown condition
  }
}
