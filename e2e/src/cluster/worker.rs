//! The processes of a node: containers, pods, and the addresses of Services.

use std::path::Path;

use serde_json::json;

use super::{
    certificates::{Keys, User},
    holder, image,
    part::Part,
    place::Node,
    tool::Program,
};

/// The socket of containerd, in the node.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";

/// What runs containers. It finds the network of the node's pods in a file.
pub(super) fn containerd(node: Node, networks: &Path) -> Part {
    let settings = node.folder().join("containerd.toml");
    Part {
        node,
        name: "containerd",
        program: "containerd".into(),
        arguments: vec![
            format!("--config={}", settings.display()),
            "--log-level=warn".into(),
        ],
        files: vec![
            (settings, containerd_settings(networks)),
            (
                holder::network_file(node, "10-lab.conflist"),
                network_of_pods(node),
            ),
        ],
    }
}

/// Without `restrict_oom_score_adj`, runc fails where the lab has no `CAP_SYS_RESOURCE`.
fn containerd_settings(networks: &Path) -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.opt",
]

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
max_container_log_line_size = 262144

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{networks}"
conf_dir = "/etc/cni/net.d"
"#,
        pause = image::PAUSE,
        networks = networks.display(),
    )
}

/// A bridge for the pods of the node. Their addresses are routed and not translated: a service sees who calls.
fn network_of_pods(node: Node) -> String {
    let pods = node.pods().to_string();
    json!({
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": false,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/var/lib/cni/ipam",
                    "ranges": [[{ "subnet": pods }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
    .to_string()
}

/// What runs pods.
pub(super) fn kubelet(node: Node, keys: Keys, program: &Program) -> Part {
    let settings = node.folder().join("kubelet.json");
    let names = node.folder().join("resolv.conf");
    let arguments = vec![
        format!("--config={}", settings.display()),
        format!("--kubeconfig={}", keys.kubeconfig(User::Kubelet(node))),
        format!("--hostname-override={}", node.name()),
        format!("--node-ip={}", node.address()),
    ];
    let servers = format!("nameserver {}\n", node.place().dns_service());
    Part {
        node,
        name: "kubelet",
        program: program.path(),
        arguments,
        files: vec![
            (settings, kubelet_settings(node, keys, &names)),
            (names, servers),
        ],
    }
}

/// JSON, which is YAML too.
fn kubelet_settings(node: Node, keys: Keys, names: &Path) -> String {
    let [certificate, key] = keys.kubelet(node);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        // Also where version 1 has the controllers, and version 2 is beside it.
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", node.cgroup()),
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "makeIPTablesUtilChains": false,
        "clusterDNS": [node.place().dns_service()],
        "clusterDomain": "cluster.local",
        "resolvConf": names,
        "tlsCertFile": certificate,
        "tlsPrivateKeyFile": key,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": keys.authority() },
        },
        "authorization": { "mode": "Webhook" },
        "evictionHard": { "memory.available": "100Mi" },
        // Images of the lab cannot be pulled again: none is ever collected.
        "imageGCHighThresholdPercent": 100,
        "fileCheckFrequency": "0s",
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "maxPods": 250,
    })
    .to_string()
}

/// What makes the addresses of Services lead to pods, by rules in the node's network namespace.
pub(super) fn proxy(node: Node, keys: Keys, program: &Program) -> Part {
    let arguments = vec![
        format!("--kubeconfig={}", keys.kubeconfig(User::Proxy)),
        "--proxy-mode=nftables".into(),
        format!("--hostname-override={}", node.name()),
        format!("--cluster-cidr={}", node.place().pods()),
        // The host's limit, which is not the node's to change.
        "--conntrack-max-per-core=0".into(),
    ];
    Part {
        node,
        name: "kube-proxy",
        program: program.path(),
        arguments,
        files: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Place;
    use super::*;

    fn settings(index: u8) -> serde_json::Value {
        let place = Place::OF_TESTS;
        let text = kubelet_settings(place.node(index), Keys::of(place), Path::new("/r"));
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn kubelets_have_cgroups_of_their_own() {
        assert_eq!(settings(1)["cgroupRoot"], "/lanyard-lab-9/n1");
        assert_eq!(settings(2)["cgroupRoot"], "/lanyard-lab-9/n2");
    }

    #[test]
    fn nobody_asks_a_kubelet_without_a_name() {
        let settings = settings(1);
        assert_eq!(settings["authentication"]["anonymous"]["enabled"], false);
        assert_eq!(settings["authorization"]["mode"], "Webhook");
    }

    #[test]
    fn a_nodes_pods_have_its_addresses() {
        let place = Place::OF_TESTS;
        assert!(network_of_pods(place.node(2)).contains("10.89.2.0/24"));
    }
}
