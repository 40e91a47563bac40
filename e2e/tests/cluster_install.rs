//! Lanyard on a cluster by its two charts, with the images that `cargo xtask images` makes: what the API server takes,
//! what runs, who may do what, and what stays when the charts go.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use lanyard_e2e::{
    cluster::{Cluster, Place, Progress, Settings},
    guarded::{TRUST_DOMAIN, pod_with},
    node_keys::NodeKeys,
    wait,
};
use serde_json::{Value, json};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lanyard");
const KINDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lanyard-crds");
const NAMESPACE: &str = "lanyard-system";

/// Longer than a busy machine takes for a pod.
const PATIENCE: Duration = Duration::from_secs(90);

/// A workload of the chart.
struct Workload {
    /// As `kubectl rollout status` names it.
    name: &'static str,
    state: State,
}

/// How far a workload is in this workspace. Each state is asserted, so that a part which gets further says so here.
enum State {
    /// It runs, and is waited for.
    Runs,
    /// The chart does not have it.
    Absent,
}

const WORKLOADS: [Workload; 4] = [
    Workload {
        name: "deployment/lanyard-operator",
        state: State::Runs,
    },
    Workload {
        name: "deployment/lanyard-authority",
        state: State::Absent,
    },
    Workload {
        name: "deployment/lanyard-webhook",
        state: State::Absent,
    },
    Workload {
        name: "daemonset/lanyard-node-agent",
        state: State::Runs,
    },
];

/// What an image says of itself when it is asked, and whether it is for root.
const IMAGES: [(&str, &str, bool); 4] = [
    ("operator", "lanyard-operator 0.1.0", false),
    ("node-agent", "lanyard-node-agent 0.1.0", true),
    ("broker", "lanyard-broker 0.1.0", false),
    ("cli", "lanyard   0.1.0", false),
];

/// The node agent knows the genuine broker by its own copy, so one that differs would refuse every pod.
#[test]
fn the_node_agent_has_the_broker_that_pods_run() {
    let broker = program(&archive("broker"), "lanyard-broker");
    let copy = program(&archive("node-agent"), "lanyard-broker");
    assert!(broker == copy);
    assert!(broker != program(&archive("node-agent"), "lanyard-node-agent"));
}

/// A program in one of an image's layers.
fn program(archive: &Path, name: &str) -> Vec<u8> {
    let mut layers = tar::Archive::new(fs::File::open(archive).unwrap());
    for layer in layers.entries().unwrap() {
        let layer = layer.unwrap();
        // What is small is a description.
        if layer.size() < 1 << 20 {
            continue;
        }
        let mut files = tar::Archive::new(layer);
        for file in files.entries().unwrap() {
            let mut file = file.unwrap();
            if file.path().unwrap() == Path::new("usr/bin").join(name) {
                let mut content = Vec::new();
                file.read_to_end(&mut content).unwrap();
                return content;
            }
        }
    }
    panic!("{} has no {name}", archive.display())
}

/// One test, for a cluster is not cheap.
#[test]
fn both_charts_are_installed_changed_and_removed() {
    let place = Place::numbered(7).unwrap();
    Cluster::down(place, false, &Progress::start()).unwrap();
    let settings = Settings {
        nodes: 1,
        fake_nodes: 0,
    };
    let cluster = Cluster::up_at(place, settings, &Progress::start()).unwrap();
    images_are_loaded_and_run(&cluster);
    namespace_lets_privileged_pods_in(&cluster);
    helm(&cluster, &["install", "lanyard-crds", KINDS]);
    certificates_are_there(&cluster);
    lanyard(&cluster, "install", &[]);
    for workload in &WORKLOADS {
        workload.is_as_it_says(&cluster);
    }
    the_driver_is_known(&cluster);
    a_pod_of_an_agent_is_served(&cluster);
    people_may_what_their_roles_say(&cluster);
    the_node_agent_may_nothing_at_the_api_server(&cluster);
    an_upgrade_to_the_same_changes_nothing(&cluster);
    an_uninstall_keeps_the_kinds(&cluster);
    Cluster::down(place, false, &Progress::start()).unwrap();
}

/// Installs or upgrades the chart, with what a lab needs, and with more.
fn lanyard(cluster: &Cluster, verb: &str, more: &[&str]) {
    let set = format!(
        "image.pullPolicy=Never,trustDomain={TRUST_DOMAIN},nodeAgent.kubeletCgroupRoot=/{},nodeAgent.tlsDir={}",
        cluster.place().node(1).cgroup(),
        node_keys(cluster).display(),
    );
    let own = ["--namespace", NAMESPACE, "--set", &set];
    helm(
        cluster,
        &[&[verb, "lanyard", CHART][..], &own, more].concat(),
    );
}

/// Where the node has its own certificate.
fn node_keys(cluster: &Cluster) -> PathBuf {
    cluster.place().folder().join("node-keys")
}

/// As whoever installs it gives them: to the operator in its namespace, to the node on the node.
fn certificates_are_there(cluster: &Cluster) {
    let keys = NodeKeys::make_for(&format!("lanyard-operator.{NAMESPACE}.svc")).unwrap();
    keys.write_node(&node_keys(cluster)).unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "lanyard-operator-tls", "namespace": NAMESPACE },
        "type": "kubernetes.io/tls",
        "stringData": { "tls.crt": keys.server.0, "tls.key": keys.server.1 },
    });
    let bundle = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "lanyard-trust-bundle", "namespace": NAMESPACE },
        "data": { "ca.crt": keys.root },
    });
    for object in [secret, bundle] {
        cluster.apply(&object.to_string()).unwrap();
    }
}

/// Fenced by the node agent of the chart, and served by the broker of its version.
fn a_pod_of_an_agent_is_served(cluster: &Cluster) {
    let identity = json!({
        "apiVersion": "lanyard.dev/v1alpha1",
        "kind": "AgentIdentity",
        "metadata": { "name": "bot" },
        "spec": { "workloadSelector": { "processes": [] } },
    });
    let broker = "localhost/lanyard/broker:0.1.0";
    let waits = "sleep 100000";
    let pod = pod_with(broker, "/usr/bin/lanyard-broker", "agent", waits);
    for object in [identity, pod] {
        cluster.apply(&object.to_string()).unwrap();
    }
    let ready = [
        "wait",
        "--for=condition=Ready",
        "pod/agent",
        "--timeout=90s",
    ];
    let own = ["--namespace", NAMESPACE, "--tail=60"];
    let log = |name| cluster.text(&[&["logs", name][..], &own].concat());
    cluster.text(&ready).unwrap_or_else(|error| {
        panic!(
            "{error:#}\n{:?}\n{:?}\n{:?}",
            cluster.text(&["describe", "pod", "agent"]),
            log("daemonset/lanyard-node-agent"),
            log("deployment/lanyard-operator")
        )
    });
    let status = [
        "exec",
        "daemonset/lanyard-node-agent",
        "--namespace",
        NAMESPACE,
        "--",
        "/usr/bin/lanyard",
        "status",
        "--output=json",
    ];
    let status: Value = serde_json::from_str(&cluster.text(&status).unwrap()).unwrap();
    assert_eq!(status["node"], "n1");
    assert_eq!(status["scopes"][0]["agent"], "default/bot", "{status}");
    cluster
        .text(&["delete", "pod", "agent", "--timeout=60s"])
        .unwrap();
}

impl Workload {
    fn is_as_it_says(&self, cluster: &Cluster) {
        let own = ["--namespace", NAMESPACE];
        let found = kubectl(cluster, &[&["get", self.name][..], &own].concat());
        match self.state {
            State::Runs => {
                let wait = ["rollout", "status", self.name, "--timeout=90s"];
                cluster.text(&[&wait[..], &own].concat()).unwrap();
            }
            State::Absent => assert!(
                String::from_utf8_lossy(&found.stderr).contains("NotFound"),
                "{}: {found:?}: it is there now, and has to be waited for",
                self.name
            ),
        }
    }
}

/// The images that `cargo xtask images --development` has put beside the programs.
fn archives() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    target.join("images/development")
}

fn archive(part: &str) -> PathBuf {
    let start = format!("lanyard-{part}-");
    let folder = archives();
    let entries = fs::read_dir(&folder);
    let entries = entries
        .unwrap_or_else(|_| panic!("{}: cargo xtask images --development", folder.display()));
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(&start) && has_end(path, "tar")
    };
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.find(is_wanted);
    found.unwrap_or_else(|| panic!("{start}*: cargo xtask images --development"))
}

fn has_end(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|extension| extension == end)
}

/// With pods that have no shell to be helped by, and that may not be root where the image says so.
fn images_are_loaded_and_run(cluster: &Cluster) {
    for (part, says, is_root) in IMAGES {
        let mut ctr = cluster.ctr(1).unwrap();
        let loaded = ctr
            .args(["images", "import"])
            .arg(archive(part))
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{part}: {loaded:?}");
        cluster
            .apply(&version_pod(part, part, is_root).to_string())
            .unwrap();
        let pod = format!("pod/{part}");
        let done = "--for=jsonpath={.status.phase}=Succeeded";
        cluster
            .text(&["wait", done, &pod, "--timeout=90s"])
            .unwrap_or_else(|error| {
                let pod = cluster.text(&["describe", &pod]).unwrap();
                panic!("{error:#}\n{pod}")
            });
        let log = cluster.text(&["logs", &pod]).unwrap();
        assert!(log.contains(says), "{part}: {log}");
    }
    // The node agent's image is root's, and the kubelet refuses it to whoever asks for the opposite.
    let refused = version_pod("refused", "node-agent", false);
    cluster.apply(&refused.to_string()).unwrap();
    let what = "the kubelet refuses the node agent's image";
    let refused = || {
        let pod = cluster.json(&["get", "pod", "refused"])?;
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        Ok((waiting["reason"] == "CreateContainerConfigError").then_some(()))
    };
    wait::until(what, PATIENCE, refused).unwrap();
    cluster
        .text(&["delete", "pods", "--all", "--timeout=60s"])
        .unwrap();
}

fn version_pod(name: &str, part: &str, is_root: bool) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "main",
                "image": format!("localhost/lanyard/{part}:0.1.0"),
                "imagePullPolicy": "Never",
                "args": ["--version"],
                // Without a user: the image's own counts.
                "securityContext": {
                    "runAsNonRoot": !is_root,
                    "readOnlyRootFilesystem": true,
                },
            }],
        },
    })
}

fn namespace_lets_privileged_pods_in(cluster: &Cluster) {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": { "pod-security.kubernetes.io/enforce": "privileged" },
        },
    });
    cluster.apply(&namespace.to_string()).unwrap();
}

fn the_driver_is_known(cluster: &Cluster) {
    let driver = cluster
        .json(&["get", "csidriver", "csi.lanyard.dev"])
        .unwrap();
    let spec = &driver["spec"];
    assert_eq!(spec["volumeLifecycleModes"], json!(["Ephemeral"]));
    assert_eq!(spec["podInfoOnMount"], true);
    assert_eq!(spec["requiresRepublish"], true);
    assert_eq!(spec["attachRequired"], false);
}

/// Whether somebody may do something in the namespace `default`.
fn may(cluster: &Cluster, user: &str, verb: &str, resource: &str) -> bool {
    let user = format!("--as={user}");
    let answer = kubectl(cluster, &["auth", "can-i", verb, resource, &user]);
    match String::from_utf8_lossy(&answer.stdout).trim() {
        "yes" => true,
        "no" => false,
        _ => panic!("{verb} {resource}: {answer:?}"),
    }
}

fn people_may_what_their_roles_say(cluster: &Cluster) {
    const GRANTS: &str = "accessgrants.lanyard.dev";
    const IDENTITIES: &str = "agentidentities.lanyard.dev";
    const SOURCES: &str = "credentialsources.lanyard.dev";
    for (user, role) in [
        ("vera", "view"),
        ("greta", "lanyard-granter"),
        ("anna", "lanyard-admin"),
    ] {
        let user_flag = format!("--user={user}");
        let role_flag = format!("--clusterrole={role}");
        cluster
            .text(&["create", "rolebinding", user, &role_flag, &user_flag])
            .unwrap();
    }
    // Aggregation and the authorizer follow within moments.
    for (user, verb, resource) in [("vera", "list", GRANTS), ("anna", "delete", IDENTITIES)] {
        let what = format!("{user} may {verb} {resource}");
        let allowed = || Ok(may(cluster, user, verb, resource).then_some(()));
        wait::until(&what, PATIENCE, allowed).unwrap();
    }
    for (user, verb, resource, is_allowed) in [
        ("vera", "create", GRANTS, false),
        ("vera", "grant", IDENTITIES, false),
        ("vera", "use", SOURCES, false),
        ("greta", "create", GRANTS, true),
        ("greta", "grant", IDENTITIES, true),
        ("greta", "use", SOURCES, true),
        ("greta", "create", IDENTITIES, false),
        ("greta", "update", SOURCES, false),
        ("greta", "get", "secrets", false),
        ("anna", "create", SOURCES, true),
        ("anna", "get", "secrets", false),
        ("nobody", "list", GRANTS, false),
    ] {
        let allowed = may(cluster, user, verb, resource);
        assert_eq!(allowed, is_allowed, "{user} {verb} {resource}");
    }
}

fn the_node_agent_may_nothing_at_the_api_server(cluster: &Cluster) {
    let user = format!("system:serviceaccount:{NAMESPACE}:lanyard-node-agent");
    for (verb, resource) in [
        ("get", "secrets"),
        ("list", "pods"),
        ("patch", "nodes"),
        ("list", "accessgrants.lanyard.dev"),
        ("create", "serviceaccounts/token"),
    ] {
        assert!(!may(cluster, &user, verb, resource), "{verb} {resource}");
    }
}

/// What `GitOps` would otherwise apply for ever.
fn an_upgrade_to_the_same_changes_nothing(cluster: &Cluster) {
    let own = ["--namespace", NAMESPACE];
    let generation = || {
        let set = ["get", "daemonset", "lanyard-node-agent"];
        let set = cluster.json(&[&set[..], &own].concat()).unwrap();
        set["metadata"]["generation"].clone()
    };
    let before = generation();
    assert!(before.is_number(), "{before}");
    lanyard(cluster, "upgrade", &[]);
    assert_eq!(generation(), before);
    // That a change does change it.
    let other = ["--set", "nodeAgent.extraArgs={--verbose}"];
    lanyard(cluster, "upgrade", &other);
    assert_ne!(generation(), before);
}

fn an_uninstall_keeps_the_kinds(cluster: &Cluster) {
    let own = ["--namespace", NAMESPACE];
    helm(cluster, &[&["uninstall", "lanyard"][..], &own].concat());
    let gone = kubectl(cluster, &["get", "csidriver", "csi.lanyard.dev"]);
    assert!(!gone.status.success(), "{gone:?}");
    let gone = kubectl(cluster, &["get", "clusterrole", "lanyard-granter"]);
    assert!(!gone.status.success(), "{gone:?}");
    cluster.text(&["get", "agrant"]).unwrap();
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Output {
    cluster.kubectl().args(arguments).output().unwrap()
}

fn helm(cluster: &Cluster, arguments: &[&str]) {
    let output = cluster.helm().args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
