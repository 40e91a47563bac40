//! The cluster's DNS: a process on the first node, behind a Service that has no pods.

use serde_json::{Value, json};

use super::{
    certificates::{Keys, User},
    part::Part,
    place::Place,
    tool::Program,
};

/// Answers when the names of the cluster are known.
pub(super) const READY: &str = "http://127.0.0.1:8181/ready";

/// The process. Other names than the cluster's are refused: a lab has no way out.
pub(super) fn part(place: Place, keys: Keys, program: &Program) -> Part {
    let node = place.node(1);
    let settings = node.folder().join("Corefile");
    let text = format!(
        ".:53 {{
    bind {address}
    errors
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig} lab
        ttl 5
    }}
}}
",
        address = node.address(),
        kubeconfig = keys.kubeconfig(User::Dns),
    );
    Part {
        node,
        name: "coredns",
        program: program.path(),
        arguments: vec![format!("-conf={}", settings.display())],
        files: vec![(settings, text)],
    }
}

/// The Service, where it leads, and what the process may read.
pub(super) fn manifests(place: Place) -> String {
    let list: Value = json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [service(place), endpoints(place), role(), binding()],
    });
    list.to_string()
}

fn service(place: Place) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "kube-dns", "namespace": "kube-system" },
        "spec": { "clusterIP": place.dns_service(), "ports": [
            { "name": "dns", "port": 53, "protocol": "UDP" },
            { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
        ] },
    })
}

fn endpoints(place: Place) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-lab",
            "namespace": "kube-system",
            "labels": { "kubernetes.io/service-name": "kube-dns" },
        },
        "addressType": "IPv4",
        "ports": [
            { "name": "dns", "port": 53, "protocol": "UDP" },
            { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
        ],
        "endpoints": [{ "addresses": [place.node(1).address()] }],
    })
}

fn role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": "lanyard-lab:dns" },
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["services", "pods", "namespaces"],
                "verbs": ["list", "watch"],
            },
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": ["list", "watch"],
            },
        ],
    })
}

fn binding() -> Value {
    let (user, _) = User::Dns.name();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": "lanyard-lab:dns" },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "lanyard-lab:dns",
        },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    })
}
