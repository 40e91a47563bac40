use lanyard_access::{
    credential::{GrantedCredential, Injection},
    desired::LiveGrant,
    digest::Sha256Digest,
    grant::{Limits, Resource, Tls},
    identity::{Enforcement, ProcessAccess},
    mcp::McpRule,
    object::Uid,
    reason::{AttestationReason, ConnectionReason},
};

use super::*;
use lanyard_protocol::record::Request;

use crate::observations::{Connected, Observations};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

fn agent(grants: Vec<LiveGrant>) -> DesiredAgent {
    DesiredAgent {
        key: key("team/bot.v2"),
        uid: Uid::new("u"),
        processes: Vec::new(),
        enforcement: Enforcement::Observe,
        process_access: ProcessAccess::None,
        grants,
    }
}

fn https_grant(host: &str, requires: EvidenceLevel) -> LiveGrant {
    LiveGrant {
        key: key("team/known"),
        uid: Uid::new("g"),
        spec_hash: Sha256Digest::new([0; 32]),
        requires,
        resource: Resource {
            host: host.parse().unwrap(),
            port: Port::new(443).unwrap(),
            protocol: Protocol::Https,
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
    }
}

fn connected(name: Option<&str>, to: &str, transport: Transport) -> Connected {
    Connected {
        destination: Destination {
            name: name.map(|name| name.parse().unwrap()),
            address: to.parse::<std::net::SocketAddr>().unwrap().ip(),
            port: to.parse::<std::net::SocketAddr>().unwrap().port(),
            transport,
        },
        level: Some(EvidenceLevel::Image),
        reason: None,
        path: Some("/usr/bin/curl".into()),
    }
}

fn seen(all: Vec<Connected>) -> Observations {
    let mut observations = Observations::default();
    for connected in all {
        observations.connected(&key("team/bot.v2"), connected);
    }
    observations
}

fn suggested(agent: &DesiredAgent, observations: &Observations) -> Suggestion {
    let observed = observations.of(&agent.key);
    let suggestion = suggest(agent, &observed, &BTreeSet::new(), NOW);
    assert_reads(&suggestion.yaml(&agent.key), suggestion.grants.len());
    suggestion
}

fn opened_by(suggestion: &Suggestion) -> Vec<String> {
    let grants = suggestion.grants.iter();
    grants
        .map(|grant| {
            let protocol = grant.protocol.as_str();
            format!("{protocol} {} {}", grant.host, grant.port)
        })
        .collect()
}

#[test]
fn a_name_is_granted_as_its_port_is_usually_spoken_to() {
    let all = seen(vec![
        connected(Some("api.example"), "192.0.2.1:443", Transport::Tcp),
        connected(Some("api.example"), "192.0.2.2:443", Transport::Tcp),
        connected(Some("db.example"), "192.0.2.3:5432", Transport::Tcp),
        connected(Some("api.example"), "192.0.2.1:80", Transport::Tcp),
        connected(None, "192.0.2.4:443", Transport::Tcp),
        connected(None, "[2001:db8::1]:5000", Transport::Udp),
    ]);
    let suggestion = suggested(&agent(Vec::new()), &all);
    assert_eq!(
        opened_by(&suggestion),
        [
            "HTTP api.example 80",
            "HTTPS api.example 443",
            "TCP db.example 5432",
            "TCP 192.0.2.4 443",
            "UDP 2001:db8::1 5000",
        ]
    );
    let yaml = suggestion.yaml(&key("team/bot.v2"));
    assert!(
        yaml.contains("db.example"),
        "the name of an address is told:\n{yaml}"
    );
    assert!(yaml.contains("requires: Image\n"), "{yaml}");
    let names: BTreeSet<_> = suggestion.grants.iter().map(|grant| &grant.key).collect();
    assert_eq!(names.len(), 5);
    assert!(
        names.contains(&key("team/bot-v2-api-example-443")),
        "{names:?}"
    );
}

#[test]
fn what_is_granted_at_the_level_that_was_seen_is_not_suggested_again() {
    let all = seen(vec![connected(
        Some("api.example"),
        "192.0.2.1:443",
        Transport::Tcp,
    )]);
    let granted = agent(vec![https_grant("api.example", EvidenceLevel::Image)]);
    assert!(suggested(&granted, &all).grants.is_empty());

    let weaker = Connected {
        level: Some(EvidenceLevel::Scope),
        reason: Some(AttestationReason::NotListed),
        ..connected(Some("api.example"), "192.0.2.1:443", Transport::Tcp)
    };
    let suggestion = suggested(&granted, &seen(vec![weaker]));
    assert_eq!(suggestion.grants[0].requires, Some(EvidenceLevel::Scope));
    assert!(suggestion.grants[0].comments[0].contains("Scope (NotListed)"));
}

#[test]
fn the_grant_is_for_the_best_level_that_was_seen() {
    let weaker = Connected {
        level: Some(EvidenceLevel::Scope),
        ..connected(None, "192.0.2.1:22", Transport::Tcp)
    };
    let better = connected(None, "192.0.2.1:22", Transport::Tcp);
    let suggestion = suggested(
        &agent(Vec::new()),
        &seen(vec![weaker.clone(), better, weaker]),
    );
    assert_eq!(suggestion.grants.len(), 1);
    assert_eq!(suggestion.grants[0].requires, Some(EvidenceLevel::Image));
}

#[test]
fn names_that_are_taken_are_not_used() {
    let all = seen(vec![connected(None, "192.0.2.1:22", Transport::Tcp)]);
    let taken = [key("team/bot-v2-192-0-2-1-22")].into();
    let observed = all.of(&key("team/bot.v2"));
    let suggestion = suggest(&agent(Vec::new()), &observed, &taken, NOW);
    assert_eq!(suggestion.grants[0].key, key("team/bot-v2-192-0-2-1-22-2"));
}

#[test]
fn a_private_name_says_so_and_dns_is_left_out() {
    let all = seen(vec![
        connected(Some("git.corp.example"), "10.1.2.3:443", Transport::Tcp),
        connected(None, "192.0.2.53:53", Transport::Udp),
    ]);
    let suggestion = suggested(&agent(Vec::new()), &all);
    assert_eq!(opened_by(&suggestion), ["HTTPS git.corp.example 443"]);
    assert!(suggestion.grants[0].allow_private);
    assert_eq!(
        suggestion.grants[0].json()["spec"]["resource"]["allowPrivate"],
        true
    );
}

#[test]
fn what_no_grant_covers_is_a_remark() {
    let nobody = Connected {
        level: None,
        reason: Some(AttestationReason::Entered),
        ..connected(None, "192.0.2.1:22", Transport::Tcp)
    };
    let unreal = connected(Some("db.example"), "198.19.0.9:5432", Transport::Udp);
    let mut all = seen(vec![nobody, unreal]);
    let agent = agent(Vec::new());
    all.noticed(
        &agent.key,
        ConnectionReason::UnixSocket,
        Some("/run/docker.sock"),
    );
    all.noticed(&agent.key, ConnectionReason::SocketKind, None);
    let suggestion = suggested(&agent, &all);
    assert!(suggestion.grants.is_empty());
    assert_eq!(suggestion.remarks.len(), 4, "{:?}", suggestion.remarks);
    assert!(
        suggestion
            .remarks
            .iter()
            .any(|remark| remark.contains("/run/docker.sock"))
    );
}

#[test]
fn a_grant_for_every_request_is_narrowed_to_those_that_were_seen() {
    let request = |method: &str, path: &str| Request {
        method: method.into(),
        host: "api.example".parse().unwrap(),
        port: 443,
        path: path.into(),
        mcp: None,
    };
    let mut observations = Observations::default();
    for (method, path) in [
        ("GET", "/orders/7"),
        ("GET", "/a/%2e%2e/b"),
        ("POST", "/x\"\n- y"),
    ] {
        let (agent, grant) = (key("team/bot.v2"), key("team/known"));
        observations.requested(&agent, &grant, &request(method, path));
    }
    let mut grant = https_grant("api.example", EvidenceLevel::Image);
    grant.resource.ca_bundle = Some(PEM.to_owned());
    grant.credential = Some(GrantedCredential {
        source: key("vault/token"),
        injection: Injection::Bearer,
    });
    let suggestion = suggested(&agent(vec![grant.clone()]), &observations);
    let yaml = suggestion.grants[0].yaml();
    assert!(
        yaml.contains("path: \"/orders/7\"") && yaml.contains("\"GET\""),
        "{yaml}"
    );
    assert!(yaml.contains("caBundle: \"-----BEGIN"), "{yaml}");
    assert!(
        yaml.contains("name: \"token\"\n    namespace: \"vault\""),
        "{yaml}"
    );
    assert!(yaml.starts_with("# in place of team/known"), "{yaml}");
    assert_eq!(suggestion.remarks.len(), 2, "{:?}", suggestion.remarks);
    // What has rules already is left as somebody wrote it.
    grant.resource.http = vec![HttpRule {
        methods: BTreeSet::new(),
        path: None,
    }];
    assert!(
        suggested(&agent(vec![grant]), &observations)
            .grants
            .is_empty()
    );
}

#[test]
fn a_hostile_path_stays_in_its_comment() {
    let path = "/tmp/a\n---\nkind: AccessGrant\u{2028}\u{85}x";
    let hostile = Connected {
        path: Some(path.into()),
        ..connected(None, "192.0.2.1:22", Transport::Tcp)
    };
    let mut all = seen(vec![hostile]);
    let agent = agent(Vec::new());
    all.noticed(&agent.key, ConnectionReason::UnixSocket, Some(path));
    let suggestion = suggested(&agent, &all);
    assert_eq!(suggestion.grants.len(), 1);
    let yaml = suggestion.yaml(&agent.key);
    assert!(!yaml.contains("\nkind: AccessGrant\u{2028}"), "{yaml}");
}

#[cfg(feature = "local")]
fn assert_reads(yaml: &str, count: usize) {
    let read = lanyard_crds::manifest::read_text("suggested.yaml", yaml);
    assert!(
        read.as_ref().is_ok_and(|objects| objects.len() == count),
        "{read:?}\n{yaml}"
    );
}

#[cfg(not(feature = "local"))]
fn assert_reads(yaml: &str, count: usize) {
    assert_eq!(yaml.matches("\napiVersion:").count(), count);
}
