/**
 * The level `restricted` of https://kubernetes.io/docs/concepts/security/pod-security-standards, for clusters older than its
 * admission (Kubernetes 1.22). Its texts are those of that admission, as far as people and programs look for them.
 */

interface SecurityContext {
  readonly allowPrivilegeEscalation?: boolean;
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  readonly privileged?: boolean;
  readonly procMount?: string;
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly seLinuxOptions?: { readonly type?: string; readonly user?: string; readonly role?: string };
  readonly seccompProfile?: { readonly type?: string };
  readonly sysctls?: readonly { readonly name: string }[];
}

interface Container {
  readonly name: string;
  readonly ports?: readonly { readonly hostPort?: number }[];
  readonly securityContext?: SecurityContext;
}

/** A pod's spec as the API server sends it to a webhook: complete, and checked by its own rules. */
export interface CheckedPodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly ephemeralContainers?: readonly Container[];
  readonly hostIPC?: boolean;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly securityContext?: SecurityContext;
  readonly volumes?: readonly ({ readonly name: string } & Readonly<Record<string, unknown>>)[];
}

const VOLUME_TYPES = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
];
const SAFE_SYSCTLS = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
];
const SELINUX_TYPES = [undefined, '', 'container_t', 'container_init_t', 'container_kvm_t'];
const SECCOMP_TYPES = ['RuntimeDefault', 'Localhost'];

/** @returns what the pod violates, one text each; none where the level admits it */
export function restrictedViolations(
  spec: CheckedPodSpec,
  annotations: Readonly<Record<string, string>> = {},
): string[] {
  const found: string[] = [];
  const pod = spec.securityContext ?? {};
  const all = [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
  const each = (rule: string, must: string, violates: (context: SecurityContext, container: Container) => boolean) => {
    const names = all.filter((container) => violates(container.securityContext ?? {}, container));
    const quoted = names.map(({ name }) => `"${name}"`).join(', ');
    if (names.length > 0) found.push(`${rule} (container${names.length > 1 ? 's' : ''} ${quoted} ${must})`);
  };
  // baseline
  const host = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((field) => spec[field] === true);
  if (host.length > 0) found.push(`host namespaces (${host.join(', ')}=true)`);
  each('hostPort', 'use a hostPort', (_, { ports = [] }) => ports.some(({ hostPort = 0 }) => hostPort !== 0));
  each('privileged', 'must not set securityContext.privileged=true', ({ privileged }) => privileged === true);
  each('procMount', 'must not set securityContext.procMount', ({ procMount = 'Default' }) => procMount !== 'Default');
  const seLinux = ({ seLinuxOptions: { type, user = '', role = '' } = {} }: SecurityContext): boolean =>
    !SELINUX_TYPES.includes(type) || user !== '' || role !== '';
  if (seLinux(pod)) found.push('seLinuxOptions (pod)');
  each('seLinuxOptions', 'set forbidden securityContext.seLinuxOptions', seLinux);
  const sysctls = (pod.sysctls ?? []).map(({ name }) => name).filter((name) => !SAFE_SYSCTLS.includes(name));
  if (sysctls.length > 0) found.push(`forbidden sysctls (${sysctls.join(', ')})`);
  for (const [key, value] of Object.entries(annotations))
    if (
      key.startsWith('container.apparmor.security.beta.kubernetes.io/') &&
      !/^(runtime\/default|localhost\/.*)$/.test(value)
    )
      found.push(`forbidden AppArmor profile (${key}="${value}")`);
  // restricted
  const volumes = (spec.volumes ?? []).filter((volume) => !VOLUME_TYPES.some((type) => volume[type] !== undefined));
  if (volumes.length > 0) found.push(`restricted volume types (volumes ${volumes.map(({ name }) => `"${name}"`)})`);
  each(
    'allowPrivilegeEscalation != false',
    'must set securityContext.allowPrivilegeEscalation=false',
    ({ allowPrivilegeEscalation }) => allowPrivilegeEscalation !== false,
  );
  each(
    'unrestricted capabilities',
    'must set securityContext.capabilities.drop=["ALL"]; and may add NET_BIND_SERVICE alone',
    ({ capabilities: { add = [], drop = [] } = {} }) =>
      !drop.includes('ALL') || add.some((name) => name !== 'NET_BIND_SERVICE'),
  );
  each(
    'runAsNonRoot != true',
    'must set securityContext.runAsNonRoot=true',
    ({ runAsNonRoot }) => (runAsNonRoot ?? pod.runAsNonRoot) !== true,
  );
  if (pod.runAsUser === 0) found.push('runAsUser=0 (pod must not set runAsUser=0)');
  each('runAsUser=0', 'must not set runAsUser=0', ({ runAsUser }) => runAsUser === 0);
  each(
    'seccompProfile',
    'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
    ({ seccompProfile }) => !SECCOMP_TYPES.includes((seccompProfile ?? pod.seccompProfile)?.type ?? ''),
  );
  return found;
}
