import { readFile } from 'node:fs/promises';
import { load } from 'js-yaml';

/** Relative to the root of the project. */
export const ROLE_FILE = 'deploy/rbac.yaml';

/** A rule of the Role that people are told to apply, and the comment above it. */
export interface CommentedRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly comment: string;
}

interface Role {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly rules: readonly Omit<CommentedRule, 'comment'>[];
}

/** The Role as it is in deploy/rbac.yaml. */
export async function readDeveloperRole(): Promise<Role> {
  return load(await roleText()) as Role;
}

/** Its rules, each with the comment lines that stand above it. */
export async function readCommentedRules(): Promise<CommentedRule[]> {
  const text = await roleText();
  const [, rules = ''] = text.split(/^rules:\n/m);
  const comments: string[] = [];
  let comment = '';
  for (const line of rules.split('\n')) {
    if (/^ {2}# ?/.test(line)) comment += `${line.replace(/^ {2}# ?/, '')} `;
    else if (line.startsWith('  - ')) {
      comments.push(comment);
      comment = '';
    }
  }
  const { rules: parsed } = await readDeveloperRole();
  return parsed.map((rule, index) => ({ ...rule, comment: comments[index] ?? '' }));
}

async function roleText(): Promise<string> {
  return await readFile(new URL(`../../${ROLE_FILE}`, import.meta.url), 'utf8');
}
