// A session in the background as its starter sees it: reports one event after the other, each behind a busy moment.
import { sessionReporter } from '../../../cli/session/detach.ts';

const BUSY_MS = 5;
const EVENTS = 20;

const report = sessionReporter({ json: true, command: false });
for (let at = 0; at < EVENTS; at += 1) {
  report({ event: 'warning', message: `${at}` });
  const until = performance.now() + BUSY_MS;
  while (performance.now() < until); // the starter leaves meanwhile, and nobody here has heard of it
}
