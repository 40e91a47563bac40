//! Promises 2, 3, 7 and 10 on a cluster: what a person applies becomes a fact in the kernel of the node that runs that
//! agent, what is revoked ends, and what has an end ends on time with everything dead.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    net::{IpAddr, TcpListener},
    path::Path,
    process::{Child, Command},
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use lanyard_access::pod as names;
use lanyard_e2e::{
    agent::sha256,
    cluster::{Cluster, Place},
    guarded::{BUSYBOX_PROGRAM, GuardedNode, PATIENCE, TRUST_DOMAIN, pod, trying},
    lanyard,
    node_keys::NodeKeys,
    wait,
};
use serde_json::{Value, json};

const KINDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lanyard-crds");
const POD: &str = "agent";
/// Who may grant on the identity; and who may not.
const GRANTER: &str = "alice";
const OTHER: &str = "mallory";

/// One test, for all of it is about one node, and nothing of that is cheap.
#[test]
fn what_is_applied_becomes_a_fact_in_the_kernel_and_ends_on_time() {
    let mut scene = Scene::set();
    let address = scene.node.service.ip().to_string();
    let port = scene.node.service.port();
    for object in [rights(), identity(), pod(POD, &trying(&[&address], port))] {
        scene.apply(&object);
    }
    scene.node.until_ready(POD).unwrap();
    scene.until_said("refused", 0);

    scene.apply(&grant("other", OTHER, &scene, json!({ "duration": "1h" })));
    scene.until_ready("other", "False", "RequesterNotAllowed");
    scene.apply(&grant(
        "first",
        GRANTER,
        &scene,
        json!({ "duration": "1h" }),
    ));
    scene.until_ready("first", "True", "Active");
    scene.until_said("reached", scene.lines());
    scene.until_condition("first", "Enforced", "True");

    scene.revoke("first");
    scene.until_ready("first", "False", "Revoked");
    let after = scene.until_said(&address, scene.lines());
    scene.until_said("refused", after);

    let after = scene.lines();
    scene.apply(&grant(
        "short",
        GRANTER,
        &scene,
        json!({ "duration": "20s" }),
    ));
    scene.until_said("reached", after);
    let ends_at = scene.ends_at("short");
    scene.kill_everything();
    let after = scene.until_said("refused", scene.lines());
    scene.until_said("refused", after);
    let last = scene.last_reached();
    assert!(last < ends_at, "{last} is behind {ends_at}");
}

/// A guarded node that follows a real operator.
struct Scene {
    node: GuardedNode,
    operator: Child,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.operator.kill();
        let _ = self.operator.wait();
        for kind in ["accessgrants", "agentidentities"] {
            let all = ["delete", kind, "--all", "--timeout=30s"];
            let _ = self.node.cluster.text(&all);
        }
    }
}

impl Scene {
    fn set() -> Self {
        let mut operator = None;
        let node = GuardedNode::start(|host, folder| {
            let (process, url) = start_operator(host, folder)?;
            operator = Some(process);
            Ok(url)
        });
        Self {
            operator: operator.unwrap(),
            node: node.unwrap(),
        }
    }

    fn apply(&self, object: &Value) {
        self.node.cluster.apply(&object.to_string()).unwrap();
    }

    fn until_said(&self, words: &str, after: usize) -> usize {
        self.node.until_said(POD, words, after).unwrap()
    }

    fn lines(&self) -> usize {
        self.node.lines(POD).unwrap()
    }

    fn condition(&self, grant: &str, kind: &str) -> Result<Value> {
        let grant = self.node.cluster.json(&["get", "accessgrant", grant])?;
        let conditions = grant["status"]["conditions"].as_array();
        let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == kind));
        Ok(found.cloned().unwrap_or_default())
    }

    fn until_condition(&self, grant: &str, kind: &str, status: &str) {
        wait::until(&format!("{kind} of {grant} is {status}"), PATIENCE, || {
            let condition = self.condition(grant, kind)?;
            Ok((condition["status"] == status).then_some(()))
        })
        .unwrap();
    }

    fn until_ready(&self, grant: &str, status: &str, reason: &str) {
        let ready = wait::until(&format!("{grant} is {reason}"), PATIENCE, || {
            let ready = self.condition(grant, "Ready")?;
            Ok((ready["reason"] == reason).then_some(ready))
        });
        assert_eq!(ready.unwrap()["status"], status, "{grant}");
    }

    fn revoke(&self, grant: &str) {
        let patch = r#"{"spec":{"revoked":true}}"#;
        let patch = ["patch", "accessgrant", grant, "--type=merge", "-p", patch];
        self.node.cluster.text(&patch).unwrap();
    }

    fn ends_at(&self, grant: &str) -> Timestamp {
        let ends_at = wait::until("the grant's end is written", PATIENCE, || {
            let grant = self.node.cluster.json(&["get", "accessgrant", grant])?;
            Ok(grant["status"]["expiresAt"].as_str().map(str::to_owned))
        });
        ends_at.unwrap().parse().unwrap()
    }

    /// Operator and node agent, with SIGKILL. The broker is left without anybody to ask.
    fn kill_everything(&mut self) {
        self.operator.kill().unwrap();
        self.operator.wait().unwrap();
        self.node.kill_node_agent().unwrap();
    }

    /// When the agent reached the service for the last time, by the clock of this machine.
    fn last_reached(&self) -> Timestamp {
        let log = ["logs", POD, "--container=agent", "--timestamps"];
        let log = self.node.cluster.text(&log).unwrap();
        let last = log.lines().rfind(|line| line.contains("reached"));
        let time = last.unwrap().split(' ').next().unwrap();
        time.parse().unwrap()
    }
}

/// The operator as a process of this machine, once it serves; and where.
fn start_operator(host: IpAddr, folder: &Path) -> Result<(Child, String)> {
    let cluster = Cluster::at(Place::OF_TESTS)?;
    let mut helm = cluster.helm();
    let kinds = ["upgrade", "--install", "kinds", KINDS, "--wait"];
    lanyard_e2e::lab::run(helm.args(kinds))?;
    let keys = NodeKeys::make(host)?;
    keys.write_node(folder)?;
    let own = folder.with_file_name("operator-tls");
    keys.write_server(&own)?;
    let (nodes, health) = (free(host)?, free(host)?);
    let operator = Command::new(lanyard::built("lanyard-operator")?)
        .args(["--trust-domain", TRUST_DOMAIN, "--namespace", "default"])
        .args(["--name", "walk", "--listen", &nodes, "--health", &health])
        .arg("--tls-dir")
        .arg(&own)
        .arg("--trust-bundle")
        .arg(own.join("ca.crt"))
        .env("KUBECONFIG", cluster.kubeconfig())
        .spawn()
        .context("start the operator")?;
    wait::until("the operator is ready", PATIENCE, || {
        let asked = Command::new("curl")
            .args(["--silent", "--fail", "--noproxy", "*"])
            .arg(format!("http://{health}/readyz"))
            .output()?;
        Ok(asked.status.success().then_some(()))
    })?;
    Ok((operator, format!("https://{nodes}")))
}

/// An address that nobody has.
fn free(host: IpAddr) -> Result<String> {
    let listener = TcpListener::bind((host, 0))?;
    Ok(listener.local_addr()?.to_string())
}

/// One of the two may grant on identities.
fn rights() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": { "name": "granter" },
                "rules": [{
                    "apiGroups": ["lanyard.dev"],
                    "resources": ["agentidentities"],
                    "verbs": ["grant"],
                }],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": { "name": "granter" },
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "Role",
                    "name": "granter",
                },
                "subjects": [{
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "User",
                    "name": GRANTER,
                }],
            },
        ],
    })
}

fn identity() -> Value {
    json!({
        "apiVersion": "lanyard.dev/v1alpha1",
        "kind": "AgentIdentity",
        "metadata": { "name": "bot" },
        "spec": {
            "enforcement": "Enforce",
            "workloadSelector": {
                "processes": [{
                    "name": "busybox",
                    "children": "None",
                    "executable": {
                        "path": BUSYBOX_PROGRAM,
                        "sha256": sha256(Path::new(BUSYBOX_PROGRAM)).unwrap(),
                    },
                }],
            },
        },
    })
}

/// The service, at its address, asked for by `requester` as admission writes it down.
fn grant(name: &str, requester: &str, scene: &Scene, lifetime: Value) -> Value {
    let mut grant = json!({
        "apiVersion": "lanyard.dev/v1alpha1",
        "kind": "AccessGrant",
        "metadata": { "name": name, "annotations": { names::REQUESTED_BY: requester } },
        "spec": {
            "identityRef": { "name": "bot" },
            "resource": {
                "host": scene.node.service.ip(),
                "port": scene.node.service.port(),
                "protocol": "TCP",
                "allowPrivate": true,
            },
        },
    });
    let spec = grant["spec"].as_object_mut().unwrap();
    let Value::Object(lifetime) = lifetime else {
        panic!("{lifetime} is no object")
    };
    spec.extend(lifetime);
    grant
}
