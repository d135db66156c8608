import { syncBuiltinESMExports } from 'node:module';
import { ControlLine } from './control-line.ts';
import { patchDgram } from './patch-dgram.ts';
import { patchDns } from './patch-dns.ts';
import { patchNet } from './patch-net.ts';
import { readSettings } from './settings.ts';

// Loaded into every Node process of the command by NODE_OPTIONS, workers and children included, before their own code.
const settings = readSettings();
const loaded = Symbol.for('kube-intercept.preload');
if (settings !== undefined && !(loaded in globalThis)) {
  Reflect.set(globalThis, loaded, true);
  const line = new ControlLine(settings);
  patchNet(settings, line);
  patchDns(settings, line);
  patchDgram(line);
  syncBuiltinESMExports();
}
