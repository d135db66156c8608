// The only import of the package: one chunk of the bundle, loaded when a kubeconfig is read. build-plugins.mjs keeps the API
// models and node-fetch out of it (27 ms instead of 70 ms).
export { type Cluster, type Context, KubeConfig, type User } from '@kubernetes/client-node';
