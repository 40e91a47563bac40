use jiff::Timestamp;
use lanyard_protocol::record::{FORMAT, Request, ScopeRef};
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
