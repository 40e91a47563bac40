use std::num::NonZeroU64;

use jiff::Timestamp;
use lanyard_access::{
    credential::{GrantedCredential, Injection},
    desired::{DesiredAgent, LiveGrant},
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    grant::{Limits, Protocol, Resource, Tls},
    identity::{Enforcement, ProcessAccess},
    mcp::McpRule,
    object::{ContainerName, ObjectKey, Uid},
    port::Port,
    process::{ChildrenRule, ProcessSelector, ScriptSelector},
};
use proptest::{
    collection::{btree_set, vec},
    option,
    prelude::*,
    sample::select,
};
use prost::Message as _;

use super::*;

fn any_name() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,8}[a-z0-9])?"
}

fn any_key() -> impl Strategy<Value = ObjectKey> {
    (select(vec!["a", "b"]), any_name())
        .prop_map(|(namespace, name)| format!("{namespace}/{name}").parse().unwrap())
}

fn any_uid() -> impl Strategy<Value = Uid> {
    "[0-9a-f-]{1,36}".prop_map(Uid::new)
}

fn any_digest() -> impl Strategy<Value = Sha256Digest> {
    any::<[u8; 32]>().prop_map(Sha256Digest::new)
}

fn any_process() -> impl Strategy<Value = ProcessSelector> {
    let path = || "(/[a-z0-9 é]{1,6}){1,3}".prop_map(|path| path.parse().unwrap());
    let script = (path(), any_digest()).prop_map(|(path, sha256)| ScriptSelector { path, sha256 });
    let children = select(vec![
        ChildrenRule::None,
        ChildrenRule::Listed,
        ChildrenRule::Inherit,
    ]);
    (
        any_name(),
        path(),
        any_digest(),
        option::of(script),
        children,
    )
        .prop_map(|(name, path, sha256, script, children)| ProcessSelector {
            name: name.parse().unwrap(),
            path,
            sha256,
            script,
            children,
        })
}

fn any_port() -> impl Strategy<Value = Port> {
    (1_i64..=65_535).prop_map(|number| Port::new(number).unwrap())
}

fn any_grant() -> impl Strategy<Value = LiveGrant> {
    let host = select(vec![
        "api.example.com",
        "10.0.0.1",
        "10.0.0.0/8",
        "fd00::/8",
    ]);
    let level = select(vec![
        EvidenceLevel::Scope,
        EvidenceLevel::Lineage,
        EvidenceLevel::Image,
    ]);
    let credential = any_key().prop_map(|source| GrantedCredential {
        source,
        injection: Injection::Bearer,
    });
    let what = (
        host,
        any_port(),
        select(Protocol::ALL.to_vec()),
        any::<bool>(),
    );
    let limits = (any::<u64>(), any::<u64>());
    (
        (any_name(), any_uid(), any_digest()),
        level,
        what,
        option::of(credential),
        limits,
        any::<u64>(),
    )
        .prop_map(
            |((name, uid, spec_hash), requires, what, credential, limits, end)| {
                let (host, port, protocol, passthrough) = what;
                LiveGrant {
                    key: format!("a/{name}").parse().unwrap(),
                    uid,
                    spec_hash,
                    requires,
                    resource: Resource {
                        host: host.parse().unwrap(),
                        port,
                        protocol,
                        tls: if passthrough {
                            Tls::Passthrough
                        } else {
                            Tls::Terminate
                        },
                        http: Vec::new(),
                        mcp: McpRule::default(),
                        conditions: Vec::new(),
                        allow_private: passthrough,
                        ca_bundle: None,
                    },
                    credential,
                    limits: Limits {
                        uses: NonZeroU64::new(limits.0),
                        bytes: NonZeroU64::new(limits.1),
                    },
                    ends_at: Timestamp::from_nanosecond(i128::from(end)).unwrap(),
                }
            },
        )
}

fn any_containers() -> impl Strategy<Value = Vec<ContainerName>> {
    btree_set(any_name(), 0..6)
        .prop_map(|names| names.iter().map(|name| name.parse().unwrap()).collect())
}

fn any_agent() -> impl Strategy<Value = NodeAgent> {
    let enforcement = select(vec![Enforcement::Enforce, Enforcement::Observe]);
    let access = select(vec![ProcessAccess::None, ProcessAccess::Debug]);
    (
        (any_name(), any_uid(), enforcement, access),
        vec(any_process(), 0..4),
        vec(any_grant(), 0..4),
        any_containers(),
    )
        .prop_map(
            |((name, uid, enforcement, process_access), mut processes, mut grants, exempt)| {
                processes.sort_by(|one, other| one.name.cmp(&other.name));
                processes.dedup_by(|one, other| one.name == other.name);
                grants.sort_by(|one, other| one.key.cmp(&other.key));
                grants.dedup_by(|one, other| one.key == other.key);
                NodeAgent {
                    spiffe_id: format!("spiffe://example.org/ns/a/agent/{name}")
                        .parse()
                        .unwrap(),
                    exempt_containers: exempt.into_iter().collect(),
                    desired: DesiredAgent {
                        key: format!("a/{name}").parse().unwrap(),
                        uid,
                        processes,
                        enforcement,
                        process_access,
                        grants,
                    },
                }
            },
        )
}

fn any_pod() -> impl Strategy<Value = NodePod> {
    let transport = select(vec![Transport::Tcp, Transport::Udp]);
    let port =
        (any_port(), transport).prop_map(|(number, transport)| DeclaredPort { number, transport });
    (
        (any_uid(), any_key(), any_name(), option::of(any_name())),
        (any_containers(), any::<bool>(), btree_set(port, 0..4)),
    )
        .prop_map(
            |((uid, key, account, identity), (mut containers, has_volumes, ports))| {
                let exempt = containers.split_off(containers.len() / 2);
                NodePod {
                    uid,
                    key,
                    service_account: account.parse().unwrap(),
                    identity: identity.map(|name| name.parse().unwrap()),
                    containers: containers.into_iter().collect(),
                    exempt_containers: exempt.into_iter().collect(),
                    has_volumes,
                    ports,
                }
            },
        )
}

fn any_delta() -> impl Strategy<Value = Delta> {
    (
        (any::<u64>(), option::of(0_u64..1000), 1000_u64..),
        vec(any_agent(), 0..3),
        vec(any_pod(), 0..3),
        btree_set(any_key(), 0..3),
        btree_set(any_uid(), 0..3),
    )
        .prop_map(
            |((epoch, base, version), agents, pods, gone_agents, gone_pods)| {
                let mut delta = Delta {
                    epoch,
                    base: base.map_or(Base::Nothing, Base::Version),
                    version,
                    agents: agents
                        .into_iter()
                        .map(|agent| (agent.desired.key.clone(), agent))
                        .collect(),
                    gone_agents,
                    pods: pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect(),
                    gone_pods,
                };
                if delta.base == Base::Nothing {
                    delta.gone_agents.clear();
                    delta.gone_pods.clear();
                }
                delta
                    .gone_agents
                    .retain(|key| !delta.agents.contains_key(key));
                delta.gone_pods.retain(|uid| !delta.pods.contains_key(uid));
                delta
            },
        )
}

proptest! {
    #[test]
    fn a_delta_arrives_as_it_was_sent(delta in any_delta()) {
        let bytes = ToNode::Delta(delta.clone()).encode().encode_to_vec();
        let read = ToNode::decode(wire::ToNode::decode(bytes.as_slice()).unwrap()).unwrap();
        prop_assert_eq!(read, ToNode::Delta(delta));
    }

    #[test]
    fn no_bytes_are_read_as_more_than_they_say(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(message) = wire::ToNode::decode(bytes.as_slice())
            && let Ok(read) = ToNode::decode(message)
        {
            prop_assert_eq!(ToNode::decode(read.encode()).unwrap(), read);
        }
    }

    #[test]
    fn what_a_node_says_arrives(version in any::<u64>(), epoch in any::<u64>(), reason in "[ -~]{0,512}") {
        for message in [
            FromNode::Hello(Hello {
                version: "0.1.0".into(),
                protocol: 1,
                resume: (epoch > 0).then_some(ResumePoint { epoch, version }),
            }),
            FromNode::Acknowledged(version),
            FromNode::Refused { version, reason },
        ] {
            prop_assert_eq!(FromNode::decode(message.encode()).unwrap(), message);
        }
    }
}

/// A delta of one agent with one grant and one process, and of one pod.
fn sent() -> wire::Delta {
    let hash = vec![7; 32];
    wire::Delta {
        epoch: 1,
        from_version: 1,
        version: 2,
        complete: false,
        agents: vec![wire::Agent {
            key: "a/bot".into(),
            uid: "u1".into(),
            spiffe_id: "spiffe://example.org/ns/a/agent/bot".into(),
            processes: vec![wire::Process {
                name: "main".into(),
                file: Some(wire::File {
                    path: "/bin/bot".into(),
                    sha256: hash.clone(),
                }),
                script: None,
                children: wire::Children::None.into(),
            }],
            enforcement: wire::Enforcement::Enforce.into(),
            process_access: wire::ProcessAccess::None.into(),
            grants: vec![wire::Grant {
                grant: Some(crate::broker::Grant {
                    key: "a/api".into(),
                    uid: "u2".into(),
                    spec_hash: hash,
                    requires: crate::broker::Level::Image.into(),
                    host: "api.example.com".into(),
                    port: 443,
                    protocol: crate::broker::Protocol::Https.into(),
                    ..Default::default()
                }),
                ends_at_unix_ns: 5,
            }],
            exempt_containers: vec!["proxy".into()],
        }],
        gone_agents: vec!["a/other".into()],
        pods: vec![wire::Pod {
            uid: "p1".into(),
            namespace: "a".into(),
            name: "bot-0".into(),
            service_account: "default".into(),
            identity: "bot".into(),
            containers: vec!["agent".into()],
            exempt_containers: vec!["lanyard-broker".into()],
            has_volumes: true,
            ports: vec![wire::DeclaredPort {
                number: 80,
                transport: wire::Transport::Tcp.into(),
            }],
        }],
        gone_pods: vec!["p2".into()],
    }
}

#[test]
fn a_delta_that_is_not_understood_is_refused_as_a_whole() {
    type Change = fn(&mut wire::Delta);
    let changes: [Change; 30] = [
        |delta| delta.complete = true,
        |delta| delta.from_version = 2,
        |delta| {
            delta.complete = true;
            delta.from_version = 0;
        },
        |delta| delta.agents.push(delta.agents[0].clone()),
        |delta| delta.pods.push(delta.pods[0].clone()),
        |delta| delta.gone_agents.push("a/bot".into()),
        |delta| delta.gone_agents.push("a/b/c".into()),
        |delta| delta.gone_pods.push("p1".into()),
        |delta| delta.gone_pods.push(String::new()),
        |delta| delta.agents[0].key = "a/B".into(),
        |delta| delta.agents[0].uid.clear(),
        |delta| delta.agents[0].spiffe_id = "example.org".into(),
        |delta| delta.agents[0].enforcement = 0,
        |delta| delta.agents[0].enforcement = 9,
        |delta| delta.agents[0].process_access = 0,
        |delta| delta.agents[0].exempt_containers[0] = "a.b".into(),
        |delta| delta.agents[0].processes[0].file = None,
        |delta| delta.agents[0].processes[0].children = 0,
        |delta| {
            let process = delta.agents[0].processes[0].clone();
            delta.agents[0].processes.push(process);
        },
        |delta| {
            let grant = delta.agents[0].grants[0].clone();
            delta.agents[0].grants.push(grant);
        },
        |delta| delta.agents[0].grants[0].grant = None,
        |delta| {
            let grant = delta.agents[0].grants[0].grant.as_mut();
            grant.unwrap().key = "b/api".into();
        },
        |delta| {
            let grant = delta.agents[0].grants[0].grant.as_mut();
            grant.unwrap().port = 0;
        },
        |delta| delta.pods[0].uid.clear(),
        |delta| delta.pods[0].namespace = "a.b".into(),
        |delta| delta.pods[0].name.clear(),
        |delta| delta.pods[0].identity = "no name".into(),
        |delta| delta.pods[0].exempt_containers.push("agent".into()),
        |delta| delta.pods[0].ports[0].number = 65_536,
        |delta| delta.pods[0].ports[0].transport = 0,
    ];
    assert!(Delta::decode(sent()).is_ok());
    for (place, change) in changes.into_iter().enumerate() {
        let mut delta = sent();
        change(&mut delta);
        assert!(Delta::decode(delta).is_err(), "change {place} was accepted");
    }
}

#[test]
fn an_end_beyond_the_wire_comes_earlier_and_never_later() {
    let mut agent = NodeAgent::decode(sent().agents.remove(0)).unwrap();
    for end in [Timestamp::MAX, Timestamp::MIN] {
        agent.desired.grants[0].ends_at = end;
        let read = NodeAgent::decode(agent.encode()).unwrap();
        let read = read.desired.grants[0].ends_at;
        assert!(
            read <= end || read == Timestamp::UNIX_EPOCH,
            "{end} became {read}"
        );
    }
}

#[test]
fn what_a_node_says_of_itself_has_a_limit_and_one_line() {
    let long = FromNode::Refused {
        version: 1,
        reason: "a\nb".repeat(1000),
    };
    let FromNode::Refused { reason, .. } = FromNode::decode(long.encode()).unwrap() else {
        panic!("another message");
    };
    assert_eq!(reason.chars().count(), FromNode::LONGEST_REASON);
    assert!(!reason.contains('\n'));
}

#[test]
fn a_message_that_says_nothing_is_none() {
    assert!(FromNode::decode(wire::FromNode { message: None }).is_err());
    assert!(ToNode::decode(wire::ToNode { message: None }).is_err());
}
