use lanyard_access::{
    desired::{DesiredAgent, LiveGrant},
    grant::{Limits, Resource, Tls},
    identity::{Enforcement, ProcessAccess},
    mcp::McpRule,
    object::Uid,
    port::Port,
};
use lanyard_protocol::record::{FORMAT, ScopeRef};
use uuid::Uuid;

use super::*;

fn record(event: Event) -> Record {
    Record {
        format: FORMAT,
        id: Uuid::nil(),
        at: Timestamp::UNIX_EPOCH,
        node: "n".into(),
        event,
    }
}

fn scope() -> ScopeRef {
    ScopeRef {
        name: "bot-1".into(),
        agent: "team/bot".parse().unwrap(),
        uid: 0,
    }
}

fn process() -> Process {
    Process {
        pid: 7,
        exec_id: 1,
        path: Some("/opt/curl".into()),
        sha256: Some(Sha256Digest::new([2; 32])),
        level: None,
        reason: None,
    }
}

fn of(event: Event) -> Explanation {
    explain(&record(event), &Desired::default())
}

#[test]
fn a_changed_file_is_explained_with_both_digests() {
    let listed = Some(Sha256Digest::new([1; 32]));
    let reason = AttestationReason::DigestMismatch;
    let told = of(Event::ProcessRefused {
        scope: scope(),
        process: process(),
        reason,
        listed,
    });
    let facts = told.facts.join("\n");
    assert!(
        told.summary.contains("/opt/curl is not the agent team/bot"),
        "{}",
        told.summary
    );
    assert!(
        facts.contains(&"01".repeat(32)) && facts.contains(&"02".repeat(32)),
        "{facts}"
    );
    assert!(told.yaml.contains(&"02".repeat(32)), "{}", told.yaml);
}

#[test]
fn an_ungranted_name_is_explained_with_a_grant_that_our_own_reader_accepts() {
    let told = of(Event::NameRefused {
        scope: scope(),
        name: "api.example.com.".into(),
    });
    assert!(
        told.yaml.contains("host: \"api.example.com\""),
        "{}",
        told.yaml
    );
    assert_reads(&told.yaml);
}

#[test]
fn an_ungranted_address_is_explained_with_a_grant_that_our_own_reader_accepts() {
    let told = of(Event::ConnectionRefused {
        scope: scope(),
        process: process(),
        destination: Some("10.0.0.1:22".parse().unwrap()),
        name: None,
        reason: ConnectionReason::NoGrant,
        identity: None,
        path: None,
        transport: Some(Transport::Tcp),
    });
    assert!(
        told.summary.contains("10.0.0.1 port 22"),
        "{}",
        told.summary
    );
    assert_reads(&told.yaml);
}

#[test]
fn a_connection_without_identity_says_what_the_process_lacks() {
    let told = of(Event::ConnectionRefused {
        scope: scope(),
        process: process(),
        destination: Some("10.0.0.1:22".parse().unwrap()),
        name: None,
        reason: ConnectionReason::NoIdentity,
        identity: Some(AttestationReason::NotListed),
        path: None,
        transport: None,
    });
    assert!(
        told.facts
            .iter()
            .any(|fact| fact.contains("lists no file at that path")),
        "{:?}",
        told.facts
    );
    assert!(
        told.remedy.contains("workloadSelector.processes"),
        "{}",
        told.remedy
    );
}

#[test]
fn a_name_that_is_no_host_gives_no_yaml() {
    let told = of(Event::NameRefused {
        scope: scope(),
        name: "a b\": x".into(),
    });
    assert_eq!(told.yaml, "");
}

#[test]
fn a_refused_request_is_explained_by_its_host() {
    let request = Request {
        method: "GET".into(),
        host: "api.example.com".parse().unwrap(),
        port: 443,
        path: "/".into(),
        mcp: None,
    };
    let reason = RefusalReason::GrantEnded;
    let told = of(Event::RequestRefused {
        scope: scope(),
        process: process(),
        request,
        reason,
    });
    assert!(
        told.summary.contains("api.example.com port 443"),
        "{}",
        told.summary
    );
    assert_reads(&told.yaml);
}

fn connection(reason: ConnectionReason, to: &str, transport: Transport) -> Event {
    Event::ConnectionRefused {
        scope: scope(),
        process: Process {
            level: Some(EvidenceLevel::Scope),
            reason: Some(AttestationReason::LoaderVariables),
            ..process()
        },
        destination: Some(to.parse().unwrap()),
        name: None,
        reason,
        identity: None,
        path: None,
        transport: Some(transport),
    }
}

/// With one grant for TCP to a network, at the level Image.
fn granted() -> Desired {
    let grant = LiveGrant {
        key: "team/net".parse().unwrap(),
        uid: Uid::new("g"),
        spec_hash: Sha256Digest::new([0; 32]),
        requires: EvidenceLevel::Image,
        resource: Resource {
            host: Host::Network("10.0.0.0/8".parse().unwrap()),
            port: Port::new(5432).unwrap(),
            protocol: Protocol::Tcp,
            tls: Tls::Terminate,
            http: Vec::new(),
            mcp: McpRule::default(),
            conditions: Vec::new(),
            allow_private: false,
            ca_bundle: None,
        },
        credential: None,
        limits: Limits::default(),
        ends_at: Timestamp::from_second(1000).unwrap(),
    };
    let agent = DesiredAgent {
        key: "team/bot".parse().unwrap(),
        uid: Uid::new("u"),
        processes: Vec::new(),
        enforcement: Enforcement::Enforce,
        process_access: ProcessAccess::None,
        grants: vec![grant],
    };
    let mut desired = Desired::default();
    desired.agents.insert(agent.key.clone(), agent);
    desired
}

#[test]
fn a_grant_that_is_too_strong_is_named_with_why_the_process_is_known_no_better() {
    let event = connection(
        ConnectionReason::EvidenceTooLow,
        "10.1.2.3:5432",
        Transport::Tcp,
    );
    let told = explain(&record(event), &granted());
    let facts = told.facts.join("\n");
    assert!(
        facts.contains("level Scope, no better (LoaderVariables): a variable"),
        "{facts}"
    );
    assert!(
        facts.contains("team/net") && facts.contains("10.0.0.0/8"),
        "{facts}"
    );
    assert!(told.yaml.contains("requires: Scope"), "{}", told.yaml);
    assert!(told.remedy.contains("LD_*"), "{}", told.remedy);
    assert_reads(&told.yaml);
}

#[test]
fn udp_is_explained_with_a_grant_for_udp() {
    let event = connection(
        ConnectionReason::NoGrant,
        "[2001:db8::1]:5000",
        Transport::Udp,
    );
    let told = of(event);
    assert!(told.yaml.contains("protocol: UDP"), "{}", told.yaml);
    assert_reads(&told.yaml);
}

#[test]
fn port_53_gets_no_grant() {
    let told = of(connection(
        ConnectionReason::NoGrant,
        "192.0.2.1:53",
        Transport::Udp,
    ));
    assert_eq!(told.yaml, "");
    assert!(told.remedy.contains("needs no grant"), "{}", told.remedy);
}

#[test]
fn a_unix_socket_is_explained_with_the_local_policy() {
    let told = of(Event::ConnectionRefused {
        scope: scope(),
        process: Process {
            level: Some(EvidenceLevel::Image),
            ..process()
        },
        destination: None,
        name: None,
        reason: ConnectionReason::UnixSocket,
        identity: None,
        path: Some("/run/docker.sock".into()),
        transport: None,
    });
    assert!(
        told.summary.contains("/run/docker.sock"),
        "{}",
        told.summary
    );
    assert!(told.yaml.contains("unixSockets"), "{}", told.yaml);
}

fn asked(host: &str, port: u16, protocol: Protocol) -> Explanation {
    let agent = "team/bot".parse().unwrap();
    let goal = (host.parse().unwrap(), port, protocol);
    would(&agent, goal, None, &granted(), Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn what_would_be_allowed_says_at_which_level_and_by_which_grant() {
    let told = asked("10.1.2.3", 5432, Protocol::Tcp);
    assert!(
        told.summary
            .contains("team/bot may go to 10.1.2.3 port 5432 over TCP")
    );
    assert!(told.summary.contains("level Image"), "{}", told.summary);
    let facts = told.facts.join("\n");
    assert!(facts.contains("at the level Image: allowed by AccessGrant team/net"));
    assert!(facts.contains("at the level Scope: refused"), "{facts}");
    assert_eq!(told.yaml, "");
}

#[test]
fn what_would_be_refused_says_why_and_what_would_allow_it() {
    for (host, port, protocol) in [
        ("api.example.com", 443, Protocol::Https),
        ("192.0.2.1", 22, Protocol::Tcp),
        ("db.example.com", 5432, Protocol::Tcp),
        ("api.example.com", 80, Protocol::Http),
        ("10.1.2.3", 5432, Protocol::Udp),
    ] {
        let told = asked(host, port, protocol);
        assert!(told.summary.contains("may not go to"), "{}", told.summary);
        assert_reads(&told.yaml);
    }
    for (host, port, protocol) in [
        ("db.example.com", 5432, Protocol::Udp),
        ("192.0.2.1", 443, Protocol::Https),
        ("192.0.2.1", 53, Protocol::Udp),
        ("198.19.0.7", 80, Protocol::Tcp),
    ] {
        let told = asked(host, port, protocol);
        assert!(told.yaml.is_empty() && !told.remedy.is_empty(), "{told:?}");
    }
    let nobody = "team/other".parse().unwrap();
    let host: Host = "a.example".parse().unwrap();
    let none = would(
        &nobody,
        (host, 443, Protocol::Https),
        None,
        &granted(),
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(none.unwrap_err(), AttemptError::NoAgent(nobody));
}

#[cfg(feature = "local")]
fn assert_reads(yaml: &str) {
    let objects = lanyard_crds::manifest::read_text("explained.yaml", yaml);
    assert!(
        objects.as_ref().is_ok_and(|objects| objects.len() == 1),
        "{objects:?}\n{yaml}"
    );
}

#[cfg(not(feature = "local"))]
fn assert_reads(yaml: &str) {
    assert!(yaml.starts_with("apiVersion:"));
}
