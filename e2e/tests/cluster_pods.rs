//! Promises 1, 2 and 3 in pods of a real kubelet: nothing starts that is not fenced, what a pod may reach is what its
//! agent is granted, and what enters it from outside has no identity.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader},
    net::{IpAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Output, Stdio},
    thread,
    time::Duration,
};

use lanyard_access::{
    desired::{DesiredAgent, LiveGrant},
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    grant::{Limits, Protocol, Resource, Tls},
    host::Host,
    identity::{Enforcement, ProcessAccess},
    mcp::McpRule,
    object::{ObjectKey, Uid},
    pod as names,
    port::Port,
    process::{ChildrenRule, ProcessSelector},
};
use lanyard_e2e::{
    cluster::{
        Cluster,
        image::{BUSYBOX, Image},
    },
    lanyard,
    spoken::Spoken,
    wait,
};
use lanyard_protocol::nodes::{Base, Delta, FromNode, NodeAgent, NodePod};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const PATIENCE: Duration = Duration::from_secs(90);
const BROKER: &str = "localhost/lanyard-broker:test";
const AGENT: &str = "default/bot";
/// Two names of the service, of which one is granted.
const NAMED: &str = "named.default.svc.cluster.local";
const OTHER: &str = "other.default.svc.cluster.local";

/// One test, for all of it is about one node, and nothing of that is cheap.
#[test]
fn pods_are_fenced_before_they_start_and_reach_what_they_are_granted() {
    let mut scene = Scene::set();
    a_pod_waits_until_its_node_knows_whose_it_is(&mut scene);
    nothing_is_reached_without_a_grant_from_the_first_instruction_on(&scene);
    what_is_granted_is_reached_by_the_agent_alone_until_it_is_revoked(&mut scene);
    names_are_reached_through_the_broker_beside_the_agent(&mut scene);
    what_holds_goes_on_without_the_node_agent_and_after_it(&mut scene);
    a_pod_that_is_over_leaves_nothing(&scene);
}

/// A lab, a node agent on its node, and an operator that says what it is told.
struct Scene {
    cluster: Cluster,
    operator: Spoken,
    node_agent: Option<Child>,
    folder: PathBuf,
    service: TcpListener,
    says: Said,
}

/// What the operator says.
#[derive(Default)]
struct Said {
    version: u64,
    pods: BTreeMap<Uid, NodePod>,
    grants: Vec<LiveGrant>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // First the pods, which a driver that is gone keeps from ending.
        let mut kubectl = self.cluster.kubectl();
        let _ = kubectl
            .args([
                "delete",
                "pods",
                "--all",
                "--timeout=30s",
                "--grace-period=1",
            ])
            .output();
        if let Some(mut node_agent) = self.node_agent.take() {
            let _ = node_agent.kill();
            let _ = node_agent.wait();
        }
        let pins = PathBuf::from("/sys/fs/bpf/lanyard/n1");
        for version in fs::read_dir(&pins).into_iter().flatten().flatten() {
            let mut paths: Vec<PathBuf> = fs::read_dir(version.path())
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .collect();
            paths.sort_by_key(|path| !path.to_string_lossy().contains("/link_"));
            for path in paths {
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
            }
            let _ = fs::remove_dir(version.path());
        }
        let _ = fs::remove_dir(&pins);
    }
}

impl Scene {
    fn set() -> Self {
        let cluster = Cluster::up().unwrap();
        let host = IpAddr::V4(cluster.place().host_address());
        let folder = cluster.place().folder().join("pods-test");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("bin")).unwrap();
        for program in ["lanyard-node-agent", "lanyard-broker"] {
            fs::copy(
                lanyard::built(program).unwrap(),
                folder.join("bin").join(program),
            )
            .unwrap();
        }
        let broker = folder.join("bin/lanyard-broker");
        let image = Image::busybox(BROKER).dynamic_program("lanyard-broker", &broker);
        cluster.import(1, &image.unwrap()).unwrap();
        cluster
            .apply(
                &json!({
                    "apiVersion": "storage.k8s.io/v1",
                    "kind": "CSIDriver",
                    "metadata": { "name": names::DRIVER },
                    "spec": {
                        "attachRequired": false,
                        "podInfoOnMount": true,
                        "fsGroupPolicy": "None",
                        "volumeLifecycleModes": ["Ephemeral"],
                        "requiresRepublish": true,
                    },
                })
                .to_string(),
            )
            .unwrap();
        let service = TcpListener::bind((host, 0)).unwrap();
        let accepting = service.try_clone().unwrap();
        // Says hello, and keeps each connection.
        thread::spawn(move || {
            let mut kept: Vec<TcpStream> = Vec::new();
            for mut stream in accepting.incoming().flatten() {
                use std::io::Write as _;
                let _ = stream.write_all(b"hello\n");
                kept.push(stream);
            }
        });
        let operator = Spoken::start(host, &folder.join("tls")).unwrap();
        let mut scene = Self {
            cluster,
            operator,
            node_agent: None,
            folder,
            service,
            says: Said::default(),
        };
        scene.start_node_agent();
        scene
    }

    fn start_node_agent(&mut self) {
        let cgroup = self.cluster.place().node(1).cgroup();
        let path = |name: &str| self.folder.join(name).display().to_string();
        let mut command = self
            .cluster
            .in_node(1, path("bin/lanyard-node-agent"))
            .unwrap();
        command
            .args(["cluster", "--node", "n1", "--trust-domain", "lab.test"])
            .args(["--kubelet-cgroup-root", &cgroup])
            .args(["--state", &path("state"), "--run-dir", &path("run")])
            .args([
                "--tls-dir",
                &path("tls"),
                "--broker",
                &path("bin/lanyard-broker"),
            ])
            .args(["--operator", &self.operator.url()])
            .stdout(Stdio::piped())
            .stderr(
                fs::File::options()
                    .create(true)
                    .append(true)
                    .open(self.folder.join("node-agent.log"))
                    .unwrap(),
            );
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready", "{}", self.log());
        self.node_agent = Some(child);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("node-agent.log")).unwrap_or_default()
    }

    /// Says what holds now, and waits until it does.
    fn say(&mut self) {
        self.says.version += 1;
        let version = self.says.version;
        let key: ObjectKey = AGENT.parse().unwrap();
        let agent = NodeAgent {
            spiffe_id: "spiffe://lab.test/ns/default/agent/bot".parse().unwrap(),
            exempt_containers: BTreeSet::new(),
            desired: DesiredAgent {
                key: key.clone(),
                uid: Uid::new("bot"),
                processes: vec![busybox()],
                enforcement: Enforcement::Enforce,
                process_access: ProcessAccess::None,
                grants: self.says.grants.clone(),
            },
        };
        self.operator.say(Delta {
            epoch: 1,
            base: Base::Nothing,
            version,
            agents: [(key, agent)].into(),
            gone_agents: BTreeSet::new(),
            pods: self.says.pods.clone(),
            gone_pods: BTreeSet::new(),
        });
        wait::until(&format!("version {version} holds"), PATIENCE, || {
            let heard = self.operator.heard();
            Ok(heard
                .contains(&FromNode::Acknowledged(version))
                .then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{:?}\n{}", self.operator.heard(), self.log()));
    }

    /// Says of a pod whose it is.
    fn tell(&mut self, pod: &str) {
        let uid = self.field(pod, "{.metadata.uid}");
        let told = NodePod {
            uid: Uid::new(&uid),
            key: format!("default/{pod}").parse().unwrap(),
            service_account: "default".parse().unwrap(),
            identity: Some("bot".parse().unwrap()),
            containers: ["agent".parse().unwrap()].into(),
            exempt_containers: [names::BROKER_CONTAINER.parse().unwrap()].into(),
            has_volumes: true,
            ports: BTreeSet::new(),
        };
        self.says.pods.insert(told.uid.clone(), told);
        self.say();
    }

    /// Grants the service to the agent, at a level.
    fn grant(&mut self, name: &str, host: &str, requires: EvidenceLevel) {
        let port = self.service.local_addr().unwrap().port();
        self.says
            .grants
            .retain(|grant| grant.key.name.as_str() != name);
        self.says.grants.push(LiveGrant {
            key: format!("default/{name}").parse().unwrap(),
            uid: Uid::new(format!("{name}-{}", self.says.version)),
            spec_hash: Sha256Digest::new([7; 32]),
            requires,
            resource: Resource {
                host: host.parse::<Host>().unwrap(),
                port: Port::new(port.into()).unwrap(),
                protocol: Protocol::Tcp,
                tls: Tls::Terminate,
                http: Vec::new(),
                mcp: McpRule::default(),
                conditions: Vec::new(),
                allow_private: true,
                ca_bundle: None,
            },
            credential: None,
            limits: Limits::default(),
            ends_at: jiff::Timestamp::MAX,
        });
        self.says
            .grants
            .sort_by(|one, other| one.key.cmp(&other.key));
        self.say();
    }

    fn revoke(&mut self, name: &str) {
        self.says
            .grants
            .retain(|grant| grant.key.name.as_str() != name);
        self.say();
    }

    fn kill_node_agent(&mut self) {
        let mut killed = self.node_agent.take().unwrap();
        killed.kill().unwrap();
        killed.wait().unwrap();
    }

    fn field(&self, pod: &str, path: &str) -> String {
        let output = format!("--output=jsonpath={path}");
        self.cluster.text(&["get", "pod", pod, &output]).unwrap()
    }

    /// Whatever is executed in the agent's container from outside reaches nothing.
    fn nothing_enters(&self) {
        let address = self.service.local_addr().unwrap();
        let script = format!(
            "timeout 5 nc {} {} < /dev/null",
            address.ip(),
            address.port()
        );
        let mut kubectl = self.cluster.kubectl();
        let words = [
            "exec",
            "agent",
            "--container=agent",
            "--",
            "sh",
            "-c",
            &script,
        ];
        let entered: Output = kubectl.args(words).output().unwrap();
        let refused = String::from_utf8_lossy(&entered.stderr).into_owned();
        assert!(
            entered.stdout.is_empty() && refused.contains("Operation not permitted"),
            "{entered:?}"
        );
    }

    /// A Service of that name, whose only endpoint is the service.
    fn serve(&self, name: &str) {
        let (name, _) = name.split_once('.').unwrap();
        let address = self.service.local_addr().unwrap();
        let objects = json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": { "name": name },
                    "spec": { "ports": [{ "port": address.port() }] },
                },
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": { "name": name, "labels": { "kubernetes.io/service-name": name } },
                    "addressType": "IPv4",
                    "ports": [{ "port": address.port() }],
                    "endpoints": [{ "addresses": [address.ip()] }],
                },
            ],
        });
        self.cluster.apply(&objects.to_string()).unwrap();
    }

    fn until_ready(&self, pod: &str) {
        let limit = format!("--timeout={}s", PATIENCE.as_secs());
        let mut kubectl = self.cluster.kubectl();
        let waited = kubectl
            .args([
                "wait",
                "--for=condition=Ready",
                &limit,
                &format!("pod/{pod}"),
            ])
            .output()
            .unwrap();
        assert!(
            waited.status.success(),
            "{}\n{}",
            self.told_of(pod),
            self.log()
        );
    }

    fn told_of(&self, pod: &str) -> String {
        let text = self.cluster.text(&["describe", "pod", pod]);
        let logs = self
            .cluster
            .text(&["logs", pod, "--all-containers", "--tail=50"]);
        format!("{}\n{}", text.unwrap_or_default(), logs.unwrap_or_default())
    }

    /// What the agent has said.
    fn said(&self) -> String {
        let log = ["logs", "agent", "--container=agent"];
        self.cluster.text(&log).unwrap()
    }

    fn lines(&self) -> usize {
        self.said().lines().count()
    }

    /// Waits for a line of the agent with those words, behind the first `after` lines; how many lines that makes.
    fn until_said(&self, words: &str, after: usize) -> usize {
        wait::until(&format!("the agent says {words}"), PATIENCE, || {
            let log = self.said();
            let found = log
                .lines()
                .skip(after)
                .position(|line| line.contains(words));
            Ok(found.map(|found| after + found + 1))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}\n{}", self.told_of("agent"), self.log()))
    }

    fn address(&self) -> String {
        self.service.local_addr().unwrap().ip().to_string()
    }
}

/// The program of the test's agent, as its image has it.
fn busybox() -> ProcessSelector {
    let content = fs::read("/bin/busybox").unwrap();
    ProcessSelector {
        name: "busybox".parse().unwrap(),
        path: "/bin/busybox".parse().unwrap(),
        sha256: Sha256Digest::new(Sha256::digest(content).into()),
        script: None,
        children: ChildrenRule::None,
    }
}

/// A pod as admission leaves it, whose agent does that.
fn pod(name: &str, script: &str) -> Value {
    let confined = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
        "runAsUser": 65532,
    });
    let volume = |kind: &str| {
        json!({
            "driver": names::DRIVER,
            "readOnly": true,
            "volumeAttributes": { names::VOLUME_KIND: kind },
        })
    };
    let (trust, broker) = (names::TRUST_VOLUME, names::BROKER_VOLUME);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { names::IDENTITY: "bot" } },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "initContainers": [{
                "name": names::BROKER_CONTAINER,
                "image": BROKER,
                "imagePullPolicy": "Never",
                "restartPolicy": "Always",
                "command": ["/bin/lanyard-broker", "sidecar"],
                "startupProbe": {
                    "exec": { "command": ["/bin/lanyard-broker", "ready"] },
                    "periodSeconds": 1,
                    "failureThreshold": 60,
                },
                "securityContext": confined,
                "volumeMounts": [{ "name": broker.0, "mountPath": broker.1, "readOnly": true }],
            }],
            "containers": [{
                "name": "agent",
                "image": BUSYBOX,
                "imagePullPolicy": "Never",
                "command": ["sh", "-c", script],
                "securityContext": confined,
                "volumeMounts": [{ "name": trust.0, "mountPath": trust.1, "readOnly": true }],
            }],
            "volumes": [
                { "name": trust.0, "csi": volume(names::TRUST) },
                { "name": broker.0, "csi": volume(names::BROKER) },
            ],
        },
    })
}

/// Tries to reach the service by each of its addresses, again and again, and says each time what came of it: for the
/// first time at its first instruction.
fn trying(scene: &Scene) -> String {
    let address = scene.service.local_addr().unwrap();
    let (ip, port) = (address.ip(), address.port());
    format!(
        "while true; do for host in {ip} {NAMED} {OTHER}; do
           if timeout 5 nc $host {port} < /dev/null 2> /dev/null | grep -q hello; then echo reached $host; else echo refused $host; fi
         done; sleep 0.1; done"
    )
}

fn apply(scene: &Scene, pod: &Value) {
    scene.cluster.apply(&pod.to_string()).unwrap();
}

fn a_pod_waits_until_its_node_knows_whose_it_is(scene: &mut Scene) {
    apply(scene, &pod("agent", &trying(scene)));
    let why = "the operator has not told this node of the pod yet";
    wait::until("the pod's events say what it waits for", PATIENCE, || {
        let events = scene.cluster.text(&["get", "events"])?;
        Ok(events.contains(why).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}\n{}", scene.told_of("agent"), scene.log()));
    let started = scene.field("agent", "{.status.containerStatuses[0].started}");
    assert_eq!(started, "false");
    scene.tell("agent");
    scene.until_ready("agent");
}

fn nothing_is_reached_without_a_grant_from_the_first_instruction_on(scene: &Scene) {
    let address = scene.address();
    let first = scene.until_said(&format!("refused {address}"), 0);
    assert_eq!(first, 1, "it is the first thing that it says");
    scene.until_said(&format!("refused {OTHER}"), first);
    let log = scene.said();
    assert!(!log.contains("reached"), "{log}");
}

fn what_is_granted_is_reached_by_the_agent_alone_until_it_is_revoked(scene: &mut Scene) {
    let address = scene.address();
    scene.grant("direct", &address, EvidenceLevel::Image);
    scene.until_said(&format!("reached {address}"), scene.lines());
    // The same program in the same container, which came into it from outside.
    scene.nothing_enters();
    scene.revoke("direct");
    // What it was about to say may be of before.
    let after = scene.until_said(&address, scene.lines());
    let after = scene.until_said(&format!("refused {address}"), after);
    scene.until_said(&format!("refused {address}"), after);
    let log = scene.said();
    let again = log.lines().skip(after).any(|line| line.contains("reached"));
    assert!(!again, "{log}");
}

/// By its name, which the broker looks up as the pod's own resolver would; another name of the same service does not
/// exist.
fn names_are_reached_through_the_broker_beside_the_agent(scene: &mut Scene) {
    for name in [NAMED, OTHER] {
        scene.serve(name);
    }
    scene.grant("named", NAMED, EvidenceLevel::Image);
    let after = scene.until_said(&format!("reached {NAMED}"), scene.lines());
    scene.until_said(&format!("refused {OTHER}"), after);
    scene.revoke("named");
    let after = scene.until_said(NAMED, scene.lines());
    scene.until_said(&format!("refused {NAMED}"), after);
    let log = scene.said();
    assert!(!log.contains(&format!("reached {OTHER}")), "{log}");
}

fn what_holds_goes_on_without_the_node_agent_and_after_it(scene: &mut Scene) {
    let address = scene.address();
    let reached = format!("reached {address}");
    scene.grant("direct", &address, EvidenceLevel::Scope);
    scene.until_said(&reached, scene.lines());
    scene.kill_node_agent();
    let after = scene.until_said(&address, scene.lines());
    scene.until_said(&reached, after);
    scene.nothing_enters();
    scene.start_node_agent();
    scene.until_said(&reached, scene.lines());
    let container = "{.status.initContainerStatuses[0].restartCount}";
    assert_eq!(
        scene.field("agent", container),
        "0",
        "its broker waited for the next node agent"
    );
    // What was there before it is its own.
    scene.revoke("direct");
    let after = scene.until_said(&address, scene.lines());
    scene.until_said(&format!("refused {address}"), after);
}

fn a_pod_that_is_over_leaves_nothing(scene: &Scene) {
    let uid = scene.field("agent", "{.metadata.uid}");
    let delete = ["delete", "pod", "agent", "--timeout=60s"];
    scene.cluster.text(&delete).unwrap();
    let scope = format!("pod-{uid}");
    let left = [
        scene.folder.join("run/n1/pods").join(&uid),
        scene.folder.join("run/n1/scopes").join(&scope),
        scene.folder.join("state/scopes").join(&scope),
    ];
    wait::until("nothing is left of the pod", PATIENCE, || {
        Ok(left.iter().all(|path| !path.exists()).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", scene.log()));
}
