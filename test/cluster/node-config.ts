import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PAUSE_IMAGE } from './images.ts';
import { CLUSTER_DOMAIN, DNS_SERVICE_IP, INSIDE, type Layout, POD_CIDR } from './layout.ts';

/** Where programs inside the node find the cache. */
export function insideCache(layout: Layout, path: string): string {
  return path.replace(layout.cacheDir, INSIDE.cache);
}

/** Writes the configuration files of containerd, its network plugins, kubelet and kube-proxy into the state folder. */
export async function writeNodeConfig(layout: Layout): Promise<void> {
  await mkdir(join(layout.stateDir, 'cni'), { recursive: true });
  const write = (name: string, content: string) => writeFile(join(layout.stateDir, name), content);
  await write('resolv.conf', '# the cluster has no upstream resolver\n');
  await write('containerd.toml', containerdConfig(layout));
  await write('cni/10-pods.conflist', JSON.stringify(networkConfig(), null, 2));
  await write('kubelet.json', JSON.stringify(kubeletConfig(layout), null, 2));
  await write('kube-proxy.json', JSON.stringify(kubeProxyConfig(), null, 2));
}

function containerdConfig(layout: Layout): string {
  return `version = 2
root = "${INSIDE.state}/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/${PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE every sandbox fails otherwise, with runc's "can't get final child's PID from pipe: EOF".
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${insideCache(layout, layout.programsDir)}/cni"
    conf_dir = "${INSIDE.state}/cni"
`;
}

/** One veth link a pod, each a host route: traffic between pods always passes the node's iptables, with or without br_netfilter. */
function networkConfig(): unknown {
  return {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      {
        type: 'ptp',
        ipMasq: true,
        ipam: { type: 'host-local', ranges: [[{ subnet: POD_CIDR }]], routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
}

function kubeletConfig(layout: Layout): unknown {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: layout.nodeAddress,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: `${INSIDE.state}/pki/ca.crt` },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: `${INSIDE.state}/pki/kubelet-server.crt`,
    tlsPrivateKeyFile: `${INSIDE.state}/pki/kubelet-server.key`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${layout.cgroup}`,
    enforceNodeAllocatable: [],
    failSwapOn: false,
    hairpinMode: 'hairpin-veth',
    clusterDNS: [DNS_SERVICE_IP],
    clusterDomain: CLUSTER_DOMAIN,
    resolvConf: `${INSIDE.state}/resolv.conf`,
    volumePluginDir: `${INSIDE.state}/volume-plugins`,
    // A full disk or little memory on a developer's machine must not evict the test's pods.
    evictionHard: { 'memory.available': '20Mi', 'nodefs.available': '0%', 'imagefs.available': '0%' },
    imageGCHighThresholdPercent: 100,
    imageMinimumGCAge: '24h',
    maxPods: 200,
    registryPullQPS: 0,
    eventRecordQPS: 0,
    kubeAPIQPS: 100,
    kubeAPIBurst: 200,
    syncFrequency: '10s',
    nodeStatusUpdateFrequency: '1s',
    nodeStatusReportFrequency: '10s',
    serializeImagePulls: false,
    configMapAndSecretChangeDetectionStrategy: 'Watch',
  };
}

function kubeProxyConfig(): unknown {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clusterCIDR: POD_CIDR,
    clientConnection: { kubeconfig: `${INSIDE.state}/pki/kube-proxy.kubeconfig` },
    // A network namespace may not set the machine's conntrack limits.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    iptables: { minSyncPeriod: '0s', syncPeriod: '30s' },
  };
}
