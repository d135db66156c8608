// Prints a CycloneDX bill of materials of what is bundled into dist/: npm's own, which lists all that is installed here,
// without what only builds and tests use. `npm run --silent sbom > sbom.json`
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const folders = JSON.parse(readFileSync(new URL('./node_modules/.cache/bundled.json', import.meta.url), 'utf8'));
const bundled = new Set(
  folders.map((folder) => {
    const { name, version } = JSON.parse(readFileSync(new URL(`./${folder}/package.json`, import.meta.url), 'utf8'));
    return `${name}@${version}`;
  }),
);
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
const options = { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, stdio: ['ignore', 'pipe', 'ignore'] };
const bill = JSON.parse(execFileSync(npm, ['sbom', '--sbom-format', 'cyclonedx'], options));
const root = bill.metadata.component['bom-ref'];
// npm calls it after the folder that the clone is in.
const { name } = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8'));
const metadata = { ...bill.metadata, component: { ...bill.metadata.component, name } };
const components = bill.components.filter(({ name, group, version }) =>
  bundled.has(`${group === undefined ? '' : `${group}/`}${name}@${version}`),
);
const missing = bundled.size - components.length;
if (missing !== 0) throw new Error(`${missing} of the bundled packages are not in npm's list: npm ci, and build again`);
const refs = new Set([root, ...components.map((component) => component['bom-ref'])]);
const dependencies = bill.dependencies
  .filter(({ ref }) => refs.has(ref))
  .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((on) => refs.has(on)) }));
// In npm's eyes they are development dependencies; in the package they are its code.
const shipped = components.map((component) => ({ ...component, scope: 'required' }));
process.stdout.write(`${JSON.stringify({ ...bill, metadata, components: shipped, dependencies }, null, 2)}\n`);
