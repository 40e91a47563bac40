//! The processes of the control plane, all on the first node.

use std::path::PathBuf;

use super::{
    certificates::{Keys, User},
    part::Part,
    place::{Node, Place},
    tool::Program,
};

/// The port of etcd, on the node's loopback. Whoever is in the node's network namespace may write to it, pods that
/// ask for the host's network too.
pub(super) const ETCD: &str = "http://127.0.0.1:2379";

/// Flags, as they are typed.
fn flags<const N: usize>(flags: [String; N]) -> Vec<String> {
    flags.into()
}

fn part(node: Node, name: &'static str, program: &Program, arguments: Vec<String>) -> Part {
    Part {
        node,
        name,
        program: program.path(),
        arguments,
        files: Vec::new(),
    }
}

/// The store. What is written is not flushed to the disk: after a crash of the machine there is no lab anyway.
pub(super) fn etcd(place: Place, program: &Program) -> Part {
    let peers = "http://127.0.0.1:2380";
    let folder: PathBuf = place.folder().join("etcd");
    let arguments = flags([
        format!("--data-dir={}", folder.display()),
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        format!("--listen-peer-urls={peers}"),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]);
    part(place.node(1), "etcd", program, arguments)
}

/// The API.
pub(super) fn api_server(place: Place, keys: Keys, program: &Program) -> Part {
    let [certificate, key] = keys.api_server();
    let [to_kubelets, to_kubelets_key] = keys.to_kubelets();
    let [front_proxy, front_proxy_key] = keys.front_proxy();
    let authority = keys.authority();
    let [accounts, accounts_key] = keys.service_accounts();
    let arguments = flags([
        format!("--etcd-servers={ETCD}"),
        format!("--advertise-address={}", place.node(1).address()),
        "--secure-port=6443".into(),
        format!("--tls-cert-file={certificate}"),
        format!("--tls-private-key-file={key}"),
        format!("--client-ca-file={authority}"),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={accounts}"),
        format!("--service-account-signing-key-file={accounts_key}"),
        // For exec, logs and port-forward.
        format!("--kubelet-client-certificate={to_kubelets}"),
        format!("--kubelet-client-key={to_kubelets_key}"),
        format!("--kubelet-certificate-authority={authority}"),
        "--kubelet-preferred-address-types=InternalIP".into(),
        // For aggregated APIs.
        format!("--requestheader-client-ca-file={authority}"),
        "--requestheader-allowed-names=front-proxy".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        format!("--proxy-client-cert-file={front_proxy}"),
        format!("--proxy-client-key-file={front_proxy_key}"),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        format!("--service-cluster-ip-range={}", place.services()),
    ]);
    part(place.node(1), "kube-apiserver", program, arguments)
}

/// What makes objects of objects. Nodes have their addresses from the lab, hence not all of its controllers.
pub(super) fn controller_manager(place: Place, keys: Keys, program: &Program) -> Part {
    let kubeconfig = keys.kubeconfig(User::ControllerManager);
    let authority = keys.authority();
    let [_, accounts_key] = keys.service_accounts();
    let arguments = flags([
        format!("--kubeconfig={kubeconfig}"),
        "--use-service-account-credentials".into(),
        format!("--service-account-private-key-file={accounts_key}"),
        format!("--root-ca-file={authority}"),
        format!("--cluster-signing-cert-file={authority}"),
        format!("--cluster-signing-key-file={}", keys.authority_key()),
        "--leader-elect=false".into(),
        // With less it needs five seconds more before a new lab has its first service account.
        "--kube-api-qps=200".into(),
        "--kube-api-burst=400".into(),
        "--controllers=*,-nodeipam,-route,-cloud-node-lifecycle".into(),
    ]);
    part(place.node(1), "kube-controller-manager", program, arguments)
}

/// What gives each pod its node.
pub(super) fn scheduler(place: Place, keys: Keys, program: &Program) -> Part {
    let arguments = flags([
        format!("--kubeconfig={}", keys.kubeconfig(User::Scheduler)),
        "--leader-elect=false".into(),
    ]);
    part(place.node(1), "kube-scheduler", program, arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_asks_who_and_whether_one_may() {
        let place = Place::OF_TESTS;
        let folder = tempfile::tempdir().unwrap();
        let program = Program::in_folder(folder.path(), "kube-apiserver");
        let part = api_server(place, Keys::of(place), &program);
        let has = |flag: &str| part.arguments.iter().any(|argument| argument == flag);
        assert!(has("--authorization-mode=Node,RBAC"));
        assert!(has("--service-cluster-ip-range=10.105.0.0/16"));
        assert!(has("--advertise-address=198.18.9.2"));
    }
}
