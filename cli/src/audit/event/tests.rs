//! Events, and their lines.

use jiff::Timestamp;
use lanyard_access::{
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    object::{ObjectKey, Uid},
    reason::{AttestationReason, ConnectionReason, GrantReason},
};
use lanyard_protocol::record::{
    FORMAT, GrantRef, ObjectChange, Outcome, Process, Request, ScopeRef, Transport,
};
use uuid::Uuid;

use super::*;

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

fn scope() -> ScopeRef {
    ScopeRef {
        name: "7".into(),
        agent: key("default/deploy-bot"),
        uid: 1000,
    }
}

fn process() -> Process {
    Process {
        pid: 42,
        exec_id: 9,
        path: Some("/usr/bin/curl".into()),
        sha256: Some(Sha256Digest::new([0xab; 32])),
        level: Some(EvidenceLevel::Image),
        reason: None,
    }
}

fn request() -> Request {
    Request {
        method: "GET".into(),
        host: "api.example".parse().unwrap(),
        port: 443,
        path: "/v1".into(),
        mcp: None,
    }
}

fn grant() -> GrantRef {
    GrantRef {
        key: key("default/read"),
        uid: Uid::new("u"),
        spec_hash: Sha256Digest::new([0; 32]),
    }
}

/// The line of an event without its time, which is the same for all.
fn told(event: Event) -> String {
    let record = Record {
        format: FORMAT,
        id: Uuid::nil(),
        at: Timestamp::UNIX_EPOCH,
        node: "local".into(),
        event,
    };
    let text = line(&record).to_string();
    let rest = text.strip_prefix("1970-01-01T00:00:00.000Z  ");
    rest.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn what_happens_to_a_scope_is_told() {
    let started = Event::ScopeStarted {
        scope: scope(),
        program: "/bin/a\x1b[2J".into(),
        observed: false,
    };
    assert_eq!(
        told(started),
        "allowed  default/deploy-bot    scope 7 of uid 1000 starts: /bin/a\\u{1b}[2J"
    );
    assert_eq!(
        told(Event::ScopeEnded { scope: scope() }),
        "-        default/deploy-bot    scope 7 of uid 1000 ended"
    );
}

#[test]
fn attestation_says_which_file_it_is_about() {
    let attested = Event::ProcessAttested {
        scope: scope(),
        process: process(),
    };
    assert_eq!(
        told(attested),
        "allowed  default/deploy-bot    /usr/bin/curl[42]  is the agent (Image)"
    );
    let refused = Event::ProcessRefused {
        scope: scope(),
        process: process(),
        reason: AttestationReason::DigestMismatch,
        listed: Some(Sha256Digest::new([0xcd; 32])),
    };
    let expected = format!(
        "refused  default/deploy-bot    /usr/bin/curl[42]  is not the agent: it has SHA-256 {}, \
         listed is {}  reason=DigestMismatch",
        "ab".repeat(32),
        "cd".repeat(32)
    );
    assert_eq!(told(refused), expected);
    let unnamed = Event::ProcessRefused {
        scope: scope(),
        process: Process {
            path: None,
            sha256: None,
            level: None,
            ..process()
        },
        reason: AttestationReason::Unnamed,
        listed: None,
    };
    assert_eq!(
        told(unnamed),
        "refused  default/deploy-bot    ?[42]  is not the agent  reason=Unnamed"
    );
}

#[test]
fn connections_say_where_to_and_under_which_grants() {
    let allowed = Event::ConnectionAllowed {
        scope: scope(),
        process: process(),
        destination: "[2001:db8::1]:22".parse().unwrap(),
        grants: vec![key("default/a"), key("default/b")],
        name: None,
    };
    assert_eq!(
        told(allowed),
        "allowed  default/deploy-bot    /usr/bin/curl[42]  connect to [2001:db8::1]:22  \
         grant=default/a,default/b"
    );
    let refused = |destination: Option<&str>, name: Option<&str>| {
        told(Event::ConnectionRefused {
            scope: scope(),
            process: process(),
            destination: destination.map(|text| text.parse().unwrap()),
            name: name.map(|text| text.parse().unwrap()),
            reason: ConnectionReason::NoGrant,
            identity: None,
            path: None,
            transport: None,
        })
    };
    for (destination, name, what) in [
        (None, None, "open a socket"),
        (Some("10.0.0.1:443"), None, "connect to 10.0.0.1:443"),
        (
            Some("10.0.0.1:443"),
            Some("a.example"),
            "connect to a.example at 10.0.0.1:443",
        ),
        (None, Some("a.example"), "connect to a.example"),
    ] {
        assert_eq!(
            refused(destination, name),
            format!("refused  default/deploy-bot    /usr/bin/curl[42]  {what}  reason=NoGrant")
        );
    }
    let unattested = Event::ConnectionRefused {
        scope: scope(),
        process: process(),
        destination: None,
        name: None,
        reason: ConnectionReason::NoIdentity,
        identity: Some(AttestationReason::NotListed),
        path: None,
        transport: None,
    };
    assert!(told(unattested).ends_with("open a socket  reason=NoIdentity(NotListed)"));
    let lookup = Event::NameRefused {
        scope: scope(),
        name: "evil.example\n".into(),
    };
    assert_eq!(
        told(lookup),
        "refused  default/deploy-bot    look up evil.example\\n  reason=NoGrant"
    );
}

#[test]
fn requests_say_what_was_asked_and_what_became_of_it() {
    let intended = Event::RequestIntended {
        scope: scope(),
        process: process(),
        request: request(),
        grant: grant(),
        credential: Some(key("default/token")),
    };
    assert_eq!(
        told(intended),
        "allowed  default/deploy-bot    /usr/bin/curl[42]  GET api.example:443/v1 with \
         credential default/token  grant=default/read"
    );
    let ended = Event::RequestEnded {
        scope: scope(),
        intent: Uuid::nil(),
        status: None,
        sent_bytes: 1,
        received_bytes: 2,
        outcome: Outcome::CutByGrantEnd,
    };
    assert_eq!(
        told(ended),
        "-        default/deploy-bot    request 00000000-0000-0000-0000-000000000000 ended: no \
         reply, 1 bytes sent, 2 bytes received  reason=CutByGrantEnd"
    );
    let refused = Event::RequestRefused {
        scope: scope(),
        process: process(),
        request: Request {
            host: "2001:db8::1".parse().unwrap(),
            ..request()
        },
        reason: RefusalReason::GrantEnded,
    };
    assert_eq!(
        told(refused),
        "refused  default/deploy-bot    /usr/bin/curl[42]  GET [2001:db8::1]:443/v1  \
         reason=GrantEnded"
    );
}

#[test]
fn what_concerns_no_scope_is_told_too() {
    let revoked = Event::GrantChanged {
        grant: grant(),
        agent: key("default/deploy-bot"),
        reason: GrantReason::Revoked,
        ends_at: Some(Timestamp::UNIX_EPOCH),
        by: Some("uid 0".into()),
    };
    assert_eq!(
        told(revoked),
        "-        default/deploy-bot    grant changed by uid 0, end 1970-01-01T00:00:00.000Z  \
         reason=Revoked  grant=default/read"
    );
    let started = Event::NodeStarted {
        version: "0.1.0".into(),
        adopted: true,
    };
    let nobody = "-        -                     ";
    assert_eq!(
        told(started),
        format!("{nobody}node agent 0.1.0 started, and took over what was enforced")
    );
    let disabled = Event::NodeDisabled { by: "uid 0".into() };
    assert_eq!(
        told(disabled),
        format!("{nobody}enforcement was ended by uid 0")
    );
    let lost = Event::EventsLost { count: 3 };
    assert_eq!(told(lost), format!("{nobody}3 kernel events were lost"));
}

#[test]
fn what_only_an_observed_agent_may_is_told_as_observed() {
    let started = Event::ScopeStarted {
        scope: scope(),
        program: "/bin/a".into(),
        observed: true,
    };
    assert_eq!(
        told(started),
        "allowed  default/deploy-bot    scope 7 of uid 1000 starts, observed: /bin/a"
    );
    let connected = Event::ConnectionObserved {
        scope: scope(),
        process: process(),
        destination: "192.0.2.7:443".parse().unwrap(),
        transport: Transport::Tcp,
        name: Some("a.example".parse().unwrap()),
        reason: ConnectionReason::NoGrant,
    };
    assert_eq!(
        told(connected),
        "allowed  default/deploy-bot    /usr/bin/curl[42]  observed: connect to a.example at \
         192.0.2.7:443 over TCP  reason=NoGrant"
    );
    let looked_up = Event::NameObserved {
        scope: scope(),
        name: "a.example".parse().unwrap(),
        addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::1".parse().unwrap()],
    };
    assert_eq!(
        told(looked_up),
        "allowed  default/deploy-bot    observed: look up a.example: 192.0.2.7, 2001:db8::1  \
         reason=NoGrant"
    );
}

#[test]
fn a_lower_level_a_unix_socket_and_a_changed_object_are_told() {
    let lower = Event::ProcessAttested {
        scope: scope(),
        process: Process {
            level: Some(EvidenceLevel::Scope),
            reason: Some(AttestationReason::LoaderVariables),
            ..process()
        },
    };
    assert!(told(lower).ends_with("is the agent (Scope: LoaderVariables)"));
    let socket = Event::ConnectionRefused {
        scope: scope(),
        process: process(),
        destination: None,
        name: None,
        reason: ConnectionReason::UnixSocket,
        identity: None,
        path: Some("/run/docker.sock".into()),
        transport: None,
    };
    assert!(
        told(socket).ends_with("connect to the unix socket /run/docker.sock  reason=UnixSocket")
    );
    let changed = Event::ObjectChanged {
        kind: "AccessGrant".into(),
        object: key("default/read"),
        change: ObjectChange::Configured,
        by: "anna".into(),
    };
    assert!(told(changed).ends_with("AccessGrant default/read configured by anna"));
}
