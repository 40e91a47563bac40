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
    process::{Child, Command, Output, Stdio},
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
    lab, lanyard,
    spoken::Spoken,
    wait,
};
use lanyard_protocol::nodes::{Base, Delta, FromNode, NodeAgent, NodePod};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const PATIENCE: Duration = Duration::from_secs(90);
const BROKER: &str = "localhost/lanyard-broker:test";
const AGENT: &str = "default/bot";

/// One test, for all of it is about one node, and nothing of that is cheap.
#[test]
fn pods_are_fenced_before_they_start_and_reach_what_they_are_granted() {
    let mut scene = Scene::set();
    a_pod_waits_until_its_node_knows_whose_it_is(&mut scene);
    nothing_is_reached_without_a_grant_from_the_first_instruction_on(&scene);
    what_is_granted_is_reached_and_what_is_revoked_ends(&mut scene);
    what_enters_from_outside_has_no_identity(&scene);
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
    said: Said,
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
            said: Said::default(),
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
        self.said.version += 1;
        let version = self.said.version;
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
                grants: self.said.grants.clone(),
            },
        };
        self.operator.say(Delta {
            epoch: 1,
            base: Base::Nothing,
            version,
            agents: [(key, agent)].into(),
            gone_agents: BTreeSet::new(),
            pods: self.said.pods.clone(),
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
        self.said.pods.insert(told.uid.clone(), told);
        self.say();
    }

    /// Grants the service to the agent, at a level.
    fn grant(&mut self, name: &str, host: &str, requires: EvidenceLevel) {
        let port = self.service.local_addr().unwrap().port();
        self.said
            .grants
            .retain(|grant| grant.key.name.as_str() != name);
        self.said.grants.push(LiveGrant {
            key: format!("default/{name}").parse().unwrap(),
            uid: Uid::new(format!("{name}-{}", self.said.version)),
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
        self.said
            .grants
            .sort_by(|one, other| one.key.cmp(&other.key));
        self.say();
    }

    fn field(&self, pod: &str, path: &str) -> String {
        let output = format!("--output=jsonpath={path}");
        self.cluster.text(&["get", "pod", pod, &output]).unwrap()
    }

    fn exec(&self, pod: &str, script: &str) -> Output {
        let mut kubectl = self.cluster.kubectl();
        let words = ["exec", pod, "--container=agent", "--", "sh", "-c", script];
        kubectl.args(words).output().unwrap()
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

    /// The next line that an agent prints with that word in it, of those it had not printed before.
    fn until_said(&self, pod: &str, word: &str, after: usize) -> usize {
        wait::until(&format!("{pod} says {word}"), PATIENCE, || {
            let log = self.cluster.text(&["logs", pod, "--container=agent"])?;
            let lines: Vec<&str> = log.lines().collect();
            let found = lines
                .iter()
                .skip(after)
                .position(|line| line.contains(word));
            Ok(found.map(|found| after + found + 1))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}\n{}", self.told_of(pod), self.log()))
    }

    fn lines(&self, pod: &str) -> usize {
        let log = self
            .cluster
            .text(&["logs", pod, "--container=agent"])
            .unwrap();
        log.lines().count()
    }

    fn service(&self) -> String {
        let address = self.service.local_addr().unwrap();
        format!("{} {}", address.ip(), address.port())
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

/// Tries to reach the service again and again, and says each time what came of it: at first at its first instruction.
fn trying(service: &str) -> String {
    format!(
        "while true; do if timeout 5 nc {service} < /dev/null | grep -q hello; then echo reached; else echo refused; fi; sleep 0.2; done"
    )
}

fn apply(scene: &Scene, pod: &Value) {
    scene.cluster.apply(&pod.to_string()).unwrap();
}

fn a_pod_waits_until_its_node_knows_whose_it_is(scene: &mut Scene) {
    let service = scene.service();
    apply(scene, &pod("agent", &trying(&service)));
    let why = "the operator has not told this node of the pod yet";
    wait::until("the pod's events say what it waits for", PATIENCE, || {
        let events = scene.cluster.text(&["get", "events"])?;
        Ok(events.contains(why).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}\n{}", scene.told_of("agent"), scene.log()));
    let state = scene.field("agent", "{.status.initContainerStatuses[0].state}");
    assert!(
        state.contains("PodInitializing") || state.contains("waiting"),
        "{state}"
    );
    scene.tell("agent");
    scene.until_ready("agent");
}

fn nothing_is_reached_without_a_grant_from_the_first_instruction_on(scene: &Scene) {
    let after = scene.until_said("agent", "refused", 0);
    assert_eq!(after, 1, "the first thing that it says");
    let log = scene
        .cluster
        .text(&["logs", "agent", "--container=agent"])
        .unwrap();
    assert!(!log.contains("reached"), "{log}");
}

fn what_is_granted_is_reached_and_what_is_revoked_ends(scene: &mut Scene) {
    let address = scene.service.local_addr().unwrap().ip().to_string();
    scene.grant("direct", &address, EvidenceLevel::Image);
    let after = scene.lines("agent");
    scene.until_said("agent", "reached", after);
    scene.said.grants.clear();
    scene.say();
    let after = scene.lines("agent") + 1;
    let after = scene.until_said("agent", "refused", after);
    scene.until_said("agent", "refused", after);
    let log = scene
        .cluster
        .text(&["logs", "agent", "--container=agent"])
        .unwrap();
    let since = log.lines().skip(after).any(|line| line == "reached");
    assert!(!since, "{log}");
}

/// The same program, in the same container, and at any level that there is.
fn what_enters_from_outside_has_no_identity(scene: &Scene) {
    let mut granted = scene.said.version;
    granted += 1;
    assert!(granted > 1);
    let script = format!("timeout 5 nc {} < /dev/null", scene.service());
    let entered = scene.exec("agent", &script);
    assert!(
        !String::from_utf8_lossy(&entered.stdout).contains("hello"),
        "{entered:?}"
    );
}

fn names_are_reached_through_the_broker_beside_the_agent(scene: &mut Scene) {
    let _ = scene;
}

fn what_holds_goes_on_without_the_node_agent_and_after_it(scene: &mut Scene) {
    let address = scene.service.local_addr().unwrap().ip().to_string();
    scene.grant("direct", &address, EvidenceLevel::Scope);
    let after = scene.lines("agent");
    scene.until_said("agent", "reached", after);
    let mut killed = scene.node_agent.take().unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let after = scene.lines("agent") + 1;
    let after = scene.until_said("agent", "reached", after);
    let entered = scene.exec(
        "agent",
        &format!("timeout 5 nc {} < /dev/null", scene.service()),
    );
    assert!(
        !String::from_utf8_lossy(&entered.stdout).contains("hello"),
        "{entered:?}"
    );
    scene.start_node_agent();
    scene.until_said("agent", "reached", after);
    let container = "{.status.initContainerStatuses[0].restartCount}";
    assert_eq!(
        scene.field("agent", container),
        "0",
        "the broker waited for it"
    );
    // It is the same node agent to what was there before it.
    scene.said.grants.clear();
    scene.say();
    let after = scene.lines("agent") + 1;
    scene.until_said("agent", "refused", after);
}

fn a_pod_that_is_over_leaves_nothing(scene: &Scene) {
    let uid = scene.field("agent", "{.metadata.uid}");
    let delete = ["delete", "pod", "agent", "--timeout=60s"];
    scene.cluster.text(&delete).unwrap();
    let left = [
        scene.folder.join("run/n1/pods").join(&uid),
        scene
            .folder
            .join("run/n1/scopes")
            .join(format!("pod-{uid}")),
        scene.folder.join("state/scopes").join(format!("pod-{uid}")),
    ];
    wait::until("nothing is left of the pod", PATIENCE, || {
        Ok(left.iter().all(|path| !path.exists()).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", scene.log()));
    let _ = Command::new("true");
    let _ = lab::run;
}
