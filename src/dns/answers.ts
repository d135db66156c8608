import { addressText } from './addresses.ts';
import { CLASS, type Reply, TYPE } from './message.ts';

export interface AnsweredAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/**
 * The addresses a reply tells, in its order. Owners are not compared: a resolver answers with the whole chain of CNAMEs,
 * and all of it is about the name that was asked for.
 */
export function answeredAddresses({ message, records }: Reply): AnsweredAddress[] {
  const found: AnsweredAddress[] = [];
  for (const { section, type, class: klass, dataAt, end } of records) {
    if (section !== 'answer' || klass !== CLASS.IN) continue;
    const family = type === TYPE.A ? 4 : type === TYPE.AAAA ? 6 : undefined;
    if (family === undefined || end - dataAt !== (family === 4 ? 4 : 16)) continue;
    found.push({ address: addressText(message.subarray(dataAt, end)), family });
  }
  return found;
}

/** Whether there is something in the answer section. */
export function hasAnswers({ records }: Reply): boolean {
  return records.some(({ section }) => section === 'answer');
}
