import { serviceAccountAccess } from '../kube/service-account.ts';
import { cleanUpFor } from '../session/janitor.ts';

// Runs in the cluster, as one file: deploy/janitor/janitor.yaml. The pod's service account says where and who it is.
process.noDeprecation = true;
await cleanUpFor(await serviceAccountAccess());
