//! The kinds of Lanyard at a real API server, which alone knows what their rules may cost: installed by their chart,
//! held to by it, and kept when the chart goes.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::process::Output;

use lanyard_e2e::cluster::{Cluster, Place, Progress, Settings};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/lanyard-crds");
const EXAMPLES: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/manifests"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/grants"),
];
const KINDS: [&str; 3] = ["accessgrants", "agentidentities", "credentialsources"];

/// One test, for a cluster is not cheap.
#[test]
fn the_api_server_takes_what_is_right_refuses_what_is_not_and_keeps_it() {
    let place = Place::numbered(7).unwrap();
    Cluster::down(place, false, &Progress::start()).unwrap();
    let settings = Settings {
        nodes: 1,
        fake_nodes: 0,
    };
    let cluster = Cluster::up_at(place, settings, &Progress::start()).unwrap();
    the_chart_says_what_it_does(&cluster);
    helm(&cluster, &["install", "kinds", CHART]);
    for kind in KINDS {
        let definition = format!("crd/{kind}.lanyard.dev");
        let wait = ["wait", "--for=condition=established", "--timeout=30s"];
        cluster.text(&[&wait[..], &[&definition]].concat()).unwrap();
    }
    let [manifests, grants] = EXAMPLES;
    for folder in [manifests, grants] {
        cluster.text(&["apply", "--filename", folder]).unwrap();
    }
    let listed = cluster.text(&["get", "agrant", "agent-api"]).unwrap();
    assert!(listed.contains("api.example.com"), "{listed}");
    what_is_wrong_is_refused(&cluster);

    helm(&cluster, &["uninstall", "kinds"]);
    cluster.text(&["get", "agrant", "agent-api"]).unwrap();
    // Whoever installs it again takes over what stayed.
    helm(&cluster, &["install", "kinds", CHART]);
    Cluster::down(place, false, &Progress::start()).unwrap();
}

fn the_chart_says_what_it_does(cluster: &Cluster) {
    let template = |set: &str| {
        let mut helm = cluster.helm();
        helm.args(["template", "kinds", CHART, "--set", set]);
        helm.output().unwrap()
    };
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let kept = template("labels.team=a");
    assert_eq!(
        text(&kept).matches("helm.sh/resource-policy: keep").count(),
        KINDS.len()
    );
    assert_eq!(text(&kept).matches("team: a").count(), KINDS.len());
    let not_kept = template("keep=false");
    assert!(not_kept.status.success(), "{not_kept:?}");
    assert!(!text(&not_kept).contains("resource-policy"));
    let mistyped = template("keeps=false");
    assert!(!mistyped.status.success(), "{mistyped:?}");
}

/// Each against what stands in the examples.
fn what_is_wrong_is_refused(cluster: &Cluster) {
    let patch = |patch: &str| {
        let mut kubectl = cluster.kubectl();
        kubectl.args([
            "patch",
            "agrant",
            "agent-api",
            "--type=merge",
            "--patch",
            patch,
        ]);
        kubectl.output().unwrap()
    };
    for (change, says) in [
        (
            r#"{"spec":{"notAfter":"2030-01-01T00:00:00Z"}}"#,
            "notAfter",
        ),
        (
            r#"{"spec":{"identityRef":{"name":"other"}}}"#,
            "cannot be changed",
        ),
        (r#"{"spec":{"resource":{"host":"*"}}}"#, "host"),
        (r#"{"spec":{"duration":"soon"}}"#, "duration"),
    ] {
        let refused = patch(change);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && error.contains(says),
            "{change}: {error}"
        );
    }
    let revoked = patch(r#"{"spec":{"revoked":true}}"#);
    assert!(revoked.status.success(), "{revoked:?}");
    let again = patch(r#"{"spec":{"revoked":false}}"#);
    assert!(!again.status.success(), "{again:?}");
}

fn helm(cluster: &Cluster, arguments: &[&str]) {
    let output = cluster.helm().args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
