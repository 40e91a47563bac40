//! The operator at a real API server: what is applied reaches the nodes that need it, what is revoked leaves them, one
//! replica leads and its fall loses nothing, and who may not grant grants nothing.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

mod node;
mod operator;

use std::{process::Command, time::Duration};

use lanyard_e2e::{
    cluster::{Cluster, Place, Progress, Settings},
    wait,
};
use serde_json::{Value, json};

use self::{
    node::{Authority, Node},
    operator::Operator,
};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lanyard-crds");
const PATIENCE: Duration = Duration::from_mins(1);

/// One test, for a cluster is not cheap.
#[test]
fn what_is_applied_reaches_the_nodes_that_need_it() {
    let place = Place::numbered(6).unwrap();
    Cluster::down(place, false, &Progress::start()).unwrap();
    let settings = Settings {
        nodes: 1,
        fake_nodes: 0,
    };
    let cluster = Cluster::up_at(place, settings, &Progress::start()).unwrap();
    let mut helm = cluster.helm();
    done(helm.args(["install", "kinds", CHART, "--wait"]));
    apply(&cluster, &rights());
    apply(&cluster, &identity());
    apply(&cluster, &pod(&place.node(1).name()));

    let authority = Authority::new();
    let first = Operator::start(&cluster, &authority, "first");
    let mut node = Node::follow(&authority, first.nodes, &place.node(1).name());
    let mut other = Node::follow(&authority, first.nodes, "elsewhere");
    assert!(other.agents().is_empty());

    a_grant_reaches_the_node_and_says_so(&cluster, &mut node);
    assert!(other.agents().is_empty());
    who_may_not_grant_grants_nothing(&cluster, &mut node);
    let first = another_replica_takes_over(&cluster, &authority, first, &mut node);
    what_is_revoked_leaves_the_node(&cluster, &mut node);
    drop(first);
    Cluster::down(place, false, &Progress::start()).unwrap();
}

fn a_grant_reaches_the_node_and_says_so(cluster: &Cluster, node: &mut Node) {
    apply(cluster, &grant("kept", "alice"));
    node.until("the grant reaches the node", |node| {
        node.has_grant("team/kept")
    });
    reason(cluster, "kept", "Ready", "Active");
    reason(cluster, "kept", "Enforced", "Acknowledged");
    reason(cluster, "kept", "Approved", "NotRequired");
    let events =
        "get events.events.k8s.io --namespace team --output name --field-selector reason=Active";
    wait::until("an event tells people", PATIENCE, || {
        let told = cluster.text(&events.split(' ').collect::<Vec<_>>())?;
        Ok((!told.is_empty()).then_some(()))
    })
    .unwrap();
    let identity = cluster
        .json(&["get", "agid", "bot", "--namespace", "team"])
        .unwrap();
    assert_eq!(
        identity["status"]["spiffeID"],
        "spiffe://example.org/ns/team/agent/bot"
    );
}

fn who_may_not_grant_grants_nothing(cluster: &Cluster, node: &mut Node) {
    apply(cluster, &grant("refused", "mallory"));
    reason(cluster, "refused", "Ready", "RequesterNotAllowed");
    let mut nobody = grant("nobody", "");
    nobody["metadata"]["annotations"] = json!({});
    apply(cluster, &nobody);
    reason(cluster, "nobody", "Ready", "RequesterNotAllowed");
    apply(cluster, &grant("after", "alice"));
    node.until("a later grant reaches the node", |node| {
        node.has_grant("team/after")
    });
    assert!(!node.has_grant("team/refused") && !node.has_grant("team/nobody"));
}

/// The leader is killed, without a word.
fn another_replica_takes_over(
    cluster: &Cluster,
    authority: &Authority,
    first: Operator,
    node: &mut Node,
) -> Operator {
    let before = status(cluster, "kept");
    let second = Operator::start(cluster, authority, "second");
    first.kill();
    // While nobody leads, what held holds, and what is new waits.
    apply(cluster, &grant("later", "alice"));
    *node = Node::follow_until_taken(authority, second.nodes, &node.name);
    assert!(node.has_grant("team/kept") && node.has_grant("team/after"));
    node.until("the new leader lets a grant begin", |node| {
        node.has_grant("team/later")
    });
    reason(cluster, "later", "Enforced", "Acknowledged");
    let after = status(cluster, "kept");
    for field in ["activatedAt", "expiresAt"] {
        assert_eq!(before[field], after[field], "{field} moved");
        assert!(after[field].is_string());
    }
    second
}

fn what_is_revoked_leaves_the_node(cluster: &Cluster, node: &mut Node) {
    let patch = r#"{"spec":{"revoked":true}}"#;
    let revoke = [
        "patch",
        "agrant",
        "kept",
        "--namespace",
        "team",
        "--type=merge",
        "--patch",
        patch,
    ];
    cluster.text(&revoke).unwrap();
    node.until("the grant leaves the node", |node| {
        !node.has_grant("team/kept")
    });
    reason(cluster, "kept", "Ready", "Revoked");
    cluster
        .text(&["delete", "agrant", "after", "--namespace", "team"])
        .unwrap();
    node.until("what is deleted leaves the node", |node| {
        !node.has_grant("team/after")
    });
    assert!(node.has_grant("team/later"));
    cluster
        .text(&[
            "delete",
            "pod",
            "bot",
            "--namespace",
            "team",
            "--grace-period=0",
            "--force",
        ])
        .unwrap();
    node.until("without its pod the agent is nobody's", |node| {
        node.agents().is_empty()
    });
}

fn rights() -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team" } },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": { "name": "granter", "namespace": "team" },
            "rules": [{
                "apiGroups": ["lanyard.dev"], "resources": ["agentidentities"],
                "resourceNames": ["bot"], "verbs": ["grant"],
            }],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "granter", "namespace": "team" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "granter" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice" }],
        },
    ] })
}

fn identity() -> Value {
    json!({
        "apiVersion": "lanyard.dev/v1alpha1", "kind": "AgentIdentity",
        "metadata": { "name": "bot", "namespace": "team" },
        "spec": { "workloadSelector": {} },
    })
}

/// Its image is nowhere: that it was given to a node is enough.
fn pod(node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "bot", "namespace": "team",
            "labels": { "lanyard.dev/identity": "bot" },
        },
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": false,
            "containers": [{ "name": "agent", "image": "localhost/none:1", "imagePullPolicy": "Never" }],
        },
    })
}

fn grant(name: &str, requester: &str) -> Value {
    json!({
        "apiVersion": "lanyard.dev/v1alpha1", "kind": "AccessGrant",
        "metadata": {
            "name": name, "namespace": "team",
            "annotations": { "lanyard.dev/requested-by": requester },
        },
        "spec": {
            "identityRef": { "name": "bot" },
            "resource": { "host": format!("{name}.example.com"), "protocol": "HTTPS" },
            "duration": "1h",
        },
    })
}

fn apply(cluster: &Cluster, object: &Value) {
    // The service account of a new namespace comes a moment after it.
    wait::until("an object is applied", PATIENCE, || {
        Ok(cluster.apply(&object.to_string()).ok())
    })
    .unwrap();
}

fn status(cluster: &Cluster, grant: &str) -> Value {
    let grant = cluster
        .json(&["get", "agrant", grant, "--namespace", "team"])
        .unwrap();
    grant["status"].clone()
}

/// Waits until a condition of a grant has a reason, about the newest form of the grant.
fn reason(cluster: &Cluster, name: &str, condition: &str, reason: &str) {
    wait::until(
        &format!("{condition} of {name} is {reason}"),
        PATIENCE,
        || {
            let grant = cluster.json(&["get", "agrant", name, "--namespace", "team"])?;
            let conditions = grant["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let is_so = conditions.iter().any(|found| {
                found["type"] == condition
                    && found["reason"] == reason
                    && found["observedGeneration"] == grant["metadata"]["generation"]
            });
            Ok(is_so.then_some(()))
        },
    )
    .unwrap();
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
