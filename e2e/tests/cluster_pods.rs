//! Promises 1, 2 and 3 in pods of a real kubelet: nothing starts that is not fenced, what a pod may reach is what its
//! agent is granted, and what enters it from outside has no identity.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Output,
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
    guarded::{BUSYBOX_PROGRAM, GuardedNode, PATIENCE, pod, trying},
    spoken::Spoken,
    wait,
};
use lanyard_protocol::nodes::{Base, Delta, FromNode, NodeAgent, NodePod};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const AGENT: &str = "default/bot";
/// The pod, and the name of its container.
const POD: &str = "agent";
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
    what_root_revokes_on_the_node_ends_whatever_the_operator_says(&mut scene);
    a_pod_that_is_over_leaves_nothing(&scene);
    the_explicit_end_ends_enforcement_and_pods_run_on(&mut scene);
}

/// A lab, a node agent on its node, and an operator that says what it is told.
struct Scene {
    node: GuardedNode,
    operator: Spoken,
    says: Said,
}

/// What the operator says.
#[derive(Default)]
struct Said {
    version: u64,
    pods: BTreeMap<Uid, NodePod>,
    grants: Vec<LiveGrant>,
}

impl Scene {
    fn set() -> Self {
        let mut operator = None;
        let node = GuardedNode::start(|host, folder| {
            let started = operator.insert(Spoken::start(host, folder)?);
            Ok(started.url())
        });
        Self {
            node: node.unwrap(),
            operator: operator.unwrap(),
            says: Said::default(),
        }
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
        .unwrap_or_else(|error| {
            panic!(
                "{error:#}\n{:?}\n{}",
                self.operator.heard(),
                self.node.log()
            )
        });
    }

    /// Says of a pod whose it is.
    fn tell(&mut self, pod: &str) {
        let uid = self.node.field(pod, "{.metadata.uid}").unwrap();
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
        let port = self.node.service.port();
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

    /// Whatever is executed in the agent's container from outside reaches nothing.
    fn nothing_enters(&self) {
        let address = self.node.service;
        let script = format!(
            "timeout 5 nc {} {} < /dev/null",
            address.ip(),
            address.port()
        );
        let mut kubectl = self.node.cluster.kubectl();
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
        let address = self.node.service;
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
        self.node.cluster.apply(&objects.to_string()).unwrap();
    }

    fn said(&self) -> String {
        self.node.said(POD).unwrap()
    }

    fn lines(&self) -> usize {
        self.node.lines(POD).unwrap()
    }

    fn until_said(&self, words: &str, after: usize) -> usize {
        self.node.until_said(POD, words, after).unwrap()
    }

    fn address(&self) -> String {
        self.node.service.ip().to_string()
    }
}

/// The program of the test's agent, as its image has it.
fn busybox() -> ProcessSelector {
    let content = fs::read(BUSYBOX_PROGRAM).unwrap();
    ProcessSelector {
        name: "busybox".parse().unwrap(),
        path: BUSYBOX_PROGRAM.parse().unwrap(),
        sha256: Sha256Digest::new(Sha256::digest(content).into()),
        script: None,
        children: ChildrenRule::None,
    }
}

fn apply(scene: &Scene, pod: &Value) {
    scene.node.cluster.apply(&pod.to_string()).unwrap();
}

fn a_pod_waits_until_its_node_knows_whose_it_is(scene: &mut Scene) {
    let (address, port) = (scene.address(), scene.node.service.port());
    apply(scene, &pod(POD, &trying(&[&address, NAMED, OTHER], port)));
    let why = "the operator has not told this node of the pod yet";
    wait::until("the pod's events say what it waits for", PATIENCE, || {
        let events = scene.node.cluster.text(&["get", "events"])?;
        Ok(events.contains(why).then_some(()))
    })
    .unwrap_or_else(|error| {
        panic!(
            "{error:#}\n{}\n{}",
            scene.node.told_of(POD),
            scene.node.log()
        )
    });
    let started = scene
        .node
        .field(POD, "{.status.containerStatuses[0].started}")
        .unwrap();
    assert_eq!(started, "false");
    scene.tell("agent");
    scene.node.until_ready(POD).unwrap();
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
    scene.node.kill_node_agent().unwrap();
    let after = scene.until_said(&address, scene.lines());
    scene.until_said(&reached, after);
    scene.nothing_enters();
    scene.node.start_node_agent().unwrap();
    scene.until_said(&reached, scene.lines());
    let container = "{.status.initContainerStatuses[0].restartCount}";
    assert_eq!(
        scene.node.field(POD, container).unwrap(),
        "0",
        "its broker waited for the next node agent"
    );
    // What was there before it is its own.
    scene.revoke("direct");
    let after = scene.until_said(&address, scene.lines());
    scene.until_said(&format!("refused {address}"), after);
}

fn a_pod_that_is_over_leaves_nothing(scene: &Scene) {
    let uid = scene.node.field(POD, "{.metadata.uid}").unwrap();
    let delete = ["delete", "pod", "agent", "--timeout=60s"];
    scene.node.cluster.text(&delete).unwrap();
    let scope = format!("pod-{uid}");
    let left = [
        scene.node.folder.join("run/n1/pods").join(&uid),
        scene.node.folder.join("run/n1/scopes").join(&scope),
        scene.node.folder.join("state/scopes").join(&scope),
    ];
    wait::until("nothing is left of the pod", PATIENCE, || {
        Ok(left.iter().all(|path| !path.exists()).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", scene.node.log()));
}

/// By the socket of the node, without the API server.
fn what_root_revokes_on_the_node_ends_whatever_the_operator_says(scene: &mut Scene) {
    let address = scene.address();
    let version = scene.says.version;
    scene.grant("local", &address, EvidenceLevel::Image);
    scene.until_said(&format!("reached {address}"), scene.lines());
    let status = scene.node.lanyard(&["status", "-o", "json"]).unwrap();
    for words in ["default/local", "default/bot", BUSYBOX_PROGRAM, "Active"] {
        assert!(status.contains(words), "{words}: {status}");
    }
    scene.node.lanyard(&["revoke", "default/local"]).unwrap();
    let after = scene.until_said(&address, scene.lines());
    scene.until_said(&format!("refused {address}"), after);
    // The operator, who knows nothing of it, says the same once more.
    scene.say();
    assert!(scene.says.version > version + 1);
    let after = scene.until_said(&address, scene.lines());
    scene.until_said(&format!("refused {address}"), after);
    let status = scene.node.lanyard(&["status", "-o", "json"]).unwrap();
    assert!(status.contains("Revoked"), "{status}");
    let applied = scene.node.lanyard(&["apply", "-f", "/dev/null"]);
    let why = format!("{:#}", applied.unwrap_err());
    assert!(why.contains("API server"), "{why}");
    scene.revoke("local");
}

/// Nothing else does: neither a signal, nor that the node agent is gone.
fn the_explicit_end_ends_enforcement_and_pods_run_on(scene: &mut Scene) {
    let address = scene.address();
    scene.says.pods.clear();
    let trying = trying(&[&address], scene.node.service.port());
    apply(scene, &pod(POD, &trying));
    scene.tell(POD);
    scene.node.until_ready(POD).unwrap();
    scene.until_said(&format!("refused {address}"), 0);
    scene.node.lanyard(&["down"]).unwrap();
    scene.until_said(&format!("reached {address}"), scene.lines());
    let record = scene.node.folder.join("state/record.jsonl");
    let record = fs::read_to_string(record).unwrap();
    assert!(record.contains("NodeDisabled"), "{record}");
    // Whom the kubelet asks to let the pod go.
    scene.node.start_node_agent().unwrap();
}
