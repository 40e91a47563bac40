//! The Kubernetes that the tests of promises on a cluster stand on: it comes up, does what a cluster does, comes back
//! from what was killed, and leaves nothing behind.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use lanyard_e2e::{
    cluster::{Cluster, Place, Progress, Settings, State, Status, image},
    wait,
};
use serde_json::{Value, json};

/// Longer than a busy machine takes for a pod.
const PATIENCE: Duration = Duration::from_secs(90);

const ONE_NODE: Settings = Settings {
    nodes: 1,
    fake_nodes: 0,
};

const TWO_NODES: Settings = Settings {
    nodes: 2,
    fake_nodes: 20,
};

/// One test, for all of it is about one lab, and nothing of that is cheap.
#[test]
fn a_cluster_comes_up_works_is_repaired_and_leaves_nothing() {
    // What an earlier run left that was killed is taken away too.
    down();
    let cluster = up(ONE_NODE);
    // Whoever finds nothing afterwards finds something now.
    assert!(traces().len() > 10, "{:?}", traces());

    pods_run_from_images_of_this_machine(&cluster);
    services_are_reached_by_name(&cluster);
    commands_and_logs_of_pods_are_reached(&cluster);
    nobody_may_do_what_nobody_allowed(&cluster);
    coming_up_twice_changes_nothing(&cluster);
    what_was_killed_is_repaired(&cluster);
    what_was_killed_as_a_whole_is_repaired(&cluster);
    more_nodes_come_and_go();

    down();
}

/// A lab that no other test uses, for this one takes it away.
fn place() -> Place {
    Place::numbered(8).unwrap()
}

fn up(settings: Settings) -> Cluster {
    Cluster::up_at(place(), settings, &Progress::start()).unwrap()
}

/// Whoever it is that looks: nothing is there.
fn down() {
    Cluster::down(place(), true, &Progress::start()).unwrap();
    let status = Cluster::status(place()).unwrap();
    assert_eq!(status.state, State::Down, "{status:#?}");
    assert_eq!(traces(), Vec::<String>::new());
}

/// What a person would find of it: processes in its cgroups, the cgroups, links, and its folder.
fn traces() -> Vec<String> {
    let (cgroup, bridge) = (place().cgroup(), place().bridge());
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        // What is no process has no cgroup, and what has ended no program.
        let own = fs::read_to_string(process.path().join("cgroup")).unwrap_or_default();
        own.contains(&cgroup) && fs::read_link(process.path().join("exe")).is_ok()
    });
    let mut found: Vec<String> = processes
        .map(|process| process.path().display().to_string())
        .collect();
    let folders = [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/unified",
    ];
    let paths = folders
        .map(|folder| Path::new(folder).join(&cgroup))
        .into_iter()
        .chain([Path::new("/sys/class/net").join(bridge), place().folder()]);
    found.extend(
        paths
            .filter(|path| path.exists())
            .map(|path| path.display().to_string()),
    );
    found
}

fn pods_run_from_images_of_this_machine(cluster: &Cluster) {
    let page = "mkdir /tmp/www && echo hello from $HOSTNAME > /tmp/www/index.html && exec httpd -f -v -p 8080 -h /tmp/www";
    apply(cluster, &pod("web", "web", &["sh", "-c", page]));
    apply(
        cluster,
        &json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": "web" },
            "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        }),
    );
    apply(cluster, &pod("client", "client", &["sleep", "100000"]));
    ready(cluster, "web");
    ready(cluster, "client");
}

fn services_are_reached_by_name(cluster: &Cluster) {
    for url in ["http://web", "http://web.default.svc.cluster.local:80/"] {
        let answer = within(cluster, "client", &format!("wget -q -O - {url}"));
        assert_eq!(answer, "hello from web\n");
    }
    // From the host too, at the address of the Service and at that of the pod.
    let address = cluster.text(&[
        "get",
        "service",
        "web",
        "--output=jsonpath={.spec.clusterIP}",
    ]);
    let pod = cluster.text(&["get", "pod", "web", "--output=jsonpath={.status.podIP}"]);
    for authority in [address.unwrap(), format!("{}:8080", pod.unwrap())] {
        assert_eq!(curl(&authority), "hello from web\n");
    }
    // A name that nobody has is told from a server that does not answer.
    let refused = exec(
        cluster,
        "client",
        "nslookup nobody.default.svc.cluster.local",
    );
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(
        !refused.status.success() && said.contains("NXDOMAIN"),
        "{refused:?}"
    );
}

fn commands_and_logs_of_pods_are_reached(cluster: &Cluster) {
    assert_eq!(within(cluster, "web", "hostname"), "web\n");
    wait::until("the log of a pod has its requests", PATIENCE, || {
        let log = cluster.text(&["logs", "web"])?;
        Ok(log.contains("response:200").then_some(()))
    })
    .unwrap();
}

/// Both sides: with a role, the same account may do it.
fn nobody_may_do_what_nobody_allowed(cluster: &Cluster) {
    let account = "system:serviceaccount:default:default";
    let list = || {
        let mut kubectl = cluster.kubectl();
        kubectl
            .args(["get", "pods", "--as", account])
            .output()
            .unwrap()
    };
    let refused = list();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("forbidden"),
        "{refused:?}"
    );
    let bind = [
        "create",
        "rolebinding",
        "view",
        "--clusterrole=view",
        "--serviceaccount=default:default",
    ];
    cluster.text(&bind).unwrap();
    wait::until("the role is known", PATIENCE, || {
        Ok(list().status.success().then_some(()))
    })
    .unwrap();
    // Without any name, the API says no more than that it is there.
    let asked = Command::new("curl")
        .args(["--silent", "--insecure", "--noproxy", "*"])
        .arg(format!("{}/api/v1/pods", cluster.place().api()))
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(answer["code"], 403);
}

fn coming_up_twice_changes_nothing(cluster: &Cluster) {
    let before = (processes(), uid(cluster, "web"));
    up(ONE_NODE);
    assert_eq!(before, (processes(), uid(cluster, "web")));
}

/// Without the API server there is nothing to ask, without containerd nothing to run; pods live through both.
fn what_was_killed_is_repaired(cluster: &Cluster) {
    let pod = uid(cluster, "web");
    let before = processes();
    let some = ["kube-apiserver", "containerd", "kubelet"];
    let killed = before
        .iter()
        .filter(|(name, _)| some.contains(&name.as_str()));
    killed.for_each(|(_, pid)| kill(*pid));
    wait_for(State::Broken);
    up(ONE_NODE);
    let after = processes();
    let changed: Vec<&str> = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after)
        .map(|((name, _), _)| name.as_str())
        .collect();
    assert_eq!(changed, ["containerd", "kube-apiserver", "kubelet"]);
    assert_eq!(uid(cluster, "web"), pod);
    assert_eq!(
        within(cluster, "client", "wget -q -O - http://web"),
        "hello from web\n"
    );
}

/// Containers live on without anybody who knows of them. What is left is named, and a new node begins without it.
fn what_was_killed_as_a_whole_is_repaired(cluster: &Cluster) {
    let pod = uid(cluster, "web");
    for (_, pid) in processes() {
        kill(pid);
    }
    let left = wait_for(State::LeftBehind).left.join(", ");
    let link = format!("link {}", place().bridge());
    let route = format!("route {}", place().services());
    for part in ["cgroup ", &link, &route, "folder "] {
        assert!(left.contains(part), "{part} is not in {left}");
    }
    up(ONE_NODE);
    assert_eq!(uid(cluster, "web"), pod);
    assert_eq!(
        within(cluster, "client", "wget -q -O - http://web"),
        "hello from web\n"
    );
}

fn kill(pid: u32) {
    let killed = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status();
    assert!(killed.unwrap().success());
}

fn wait_for(state: State) -> Status {
    wait::until(&format!("the lab is {state:?}"), PATIENCE, || {
        let status = Cluster::status(place())?;
        Ok((status.state == state).then_some(status))
    })
    .unwrap()
}

/// A second kubelet with cgroups of its own runs a pod that the first node's reach, and both leave in order.
fn more_nodes_come_and_go() {
    let cluster = up(TWO_NODES);
    let status = Cluster::status(place()).unwrap();
    let names: Vec<&str> = status.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["n1", "n2", "20 that are only objects"]);
    assert!(status.nodes.iter().all(|node| node.ready), "{status:#?}");

    let mut far = pod(
        "far",
        "far",
        &[
            "sh",
            "-c",
            "mkdir /tmp/www && echo from afar > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www",
        ],
    );
    far["spec"]["nodeName"] = json!("n2");
    apply(&cluster, &far);
    ready(&cluster, "far");
    let address = cluster
        .text(&["get", "pod", "far", "--output=jsonpath={.status.podIP}"])
        .unwrap();
    let answer = within(
        &cluster,
        "client",
        &format!("wget -q -O - http://{address}:8080"),
    );
    assert_eq!(answer, "from afar\n");
    assert_eq!(curl(&format!("{address}:8080")), "from afar\n");

    let cluster = up(ONE_NODE);
    let nodes = cluster.text(&["get", "nodes", "--output=name"]).unwrap();
    assert_eq!(nodes, "node/n1\n");
    // What the second node's end has swept was the second node's alone.
    assert_eq!(
        within(&cluster, "client", "wget -q -O - http://web"),
        "hello from web\n"
    );
}

fn pod(name: &str, app: &str, command: &[&str]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": app } },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main",
                "image": image::BUSYBOX,
                "imagePullPolicy": "Never",
                "command": command,
            }],
        },
    })
}

fn apply(cluster: &Cluster, object: &Value) {
    cluster.apply(&object.to_string()).unwrap();
}

fn ready(cluster: &Cluster, pod: &str) {
    let pod = format!("pod/{pod}");
    let limit = format!("--timeout={}s", PATIENCE.as_secs());
    cluster
        .text(&["wait", "--for=condition=Ready", &limit, &pod])
        .unwrap();
}

fn exec(cluster: &Cluster, pod: &str, script: &str) -> Output {
    let mut kubectl = cluster.kubectl();
    kubectl
        .args(["exec", pod, "--", "sh", "-c", script])
        .output()
        .unwrap()
}

/// What a script prints that does well within time: rules of a new Service, and a server in a pod that has just
/// started, may come a moment later.
fn within(cluster: &Cluster, pod: &str, script: &str) -> String {
    wait::until(&format!("{script:?} does well"), PATIENCE, || {
        let output = exec(cluster, pod, script);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(output.status.success().then_some(text))
    })
    .unwrap()
}

fn curl(authority: &str) -> String {
    wait::until(&format!("{authority} answers the host"), PATIENCE, || {
        let output = Command::new("curl")
            .args(["--silent", "--fail", "--noproxy", "*", "--max-time", "5"])
            .arg(format!("http://{authority}/"))
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(output.status.success().then_some(text))
    })
    .unwrap()
}

/// Of the lab, each with its pid.
fn processes() -> Vec<(String, u32)> {
    let status = Cluster::status(place()).unwrap();
    assert_eq!(status.state, State::Up, "{status:#?}");
    status
        .parts
        .into_iter()
        .map(|part| (part.name, part.pid))
        .collect()
}

fn uid(cluster: &Cluster, pod: &str) -> String {
    cluster
        .text(&["get", "pod", pod, "--output=jsonpath={.metadata.uid}"])
        .unwrap()
}
