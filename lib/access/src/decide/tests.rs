use std::collections::BTreeSet;

use super::*;
use crate::{
    condition::Condition,
    credential::{GrantedCredential, Injection},
    grant::{Limits, Resource},
    http::{HttpRule, Mcp},
    identity::{Enforcement, ProcessAccess},
    mcp::{McpMessage, McpRule},
    object::Uid,
    path::RequestPath,
    sample::{at, host, key, port, resource, spec},
};

/// HTTPS to `api.example.com` for a listed process, until ten past noon.
fn live(name: &str) -> LiveGrant {
    LiveGrant {
        key: key(name),
        uid: Uid::new(name),
        spec_hash: spec(1),
        requires: EvidenceLevel::Image,
        resource: resource("api.example.com", Protocol::Https),
        credential: None,
        limits: Limits::default(),
        ends_at: at(10),
    }
}

fn agent(grants: impl IntoIterator<Item = LiveGrant>) -> DesiredAgent {
    DesiredAgent {
        key: key("team/bot"),
        uid: Uid::new("bot"),
        processes: Vec::new(),
        enforcement: Enforcement::Enforce,
        process_access: ProcessAccess::None,
        grants: grants.into_iter().collect(),
    }
}

/// The same for reading orders alone.
fn with_rules(name: &str) -> LiveGrant {
    let mut grant = live(name);
    grant.resource.http = vec![HttpRule {
        methods: ["GET".parse().unwrap()].into(),
        path: Some("/orders/**".parse().unwrap()),
    }];
    grant.resource.conditions = ["request.query == ''", "!('x-debug' in request.headers)"]
        .map(|text| Condition {
            expression: text.parse().unwrap(),
            message: None,
        })
        .into();
    grant
}

fn token() -> GrantedCredential {
    GrantedCredential {
        source: key("team/token"),
        injection: Injection::Bearer,
    }
}

/// What a request differs in from the one that the grant is about.
struct Ask {
    level: EvidenceLevel,
    host: &'static str,
    port: i64,
    protocol: Protocol,
    /// Method and path, of a client that speaks TLS or not.
    http: Option<(bool, &'static str, &'static str)>,
    query: &'static str,
    headers: Option<&'static [(&'static str, &'static str)]>,
    mcp: Option<&'static McpMessage>,
    minute: i64,
}

const ASK: Ask = Ask {
    level: EvidenceLevel::Image,
    host: "api.example.com",
    port: 443,
    protocol: Protocol::Https,
    http: None,
    query: "",
    headers: Some(&[]),
    mcp: None,
    minute: 0,
};

fn asking(change: impl FnOnce(&mut Ask)) -> Ask {
    let mut ask = ASK;
    change(&mut ask);
    ask
}

/// The name of the grant that allows it, or why it is refused.
fn ask(agent: &DesiredAgent, ask: &Ask) -> Result<String, RefusalReason> {
    let http = ask.http.map(|(is_encrypted, method, path)| HttpRequest {
        is_encrypted,
        method,
        path: RequestPath::parse(path),
        query: ask.query,
        headers: ask.headers,
        mcp: match ask.mcp {
            Some(message) => Mcp::Message(message),
            None => Mcp::Unread,
        },
    });
    let request = Request {
        level: ask.level,
        host: &host(ask.host),
        port: port(ask.port),
        asks: match &http {
            Some(http) => Asks::Http(http),
            None => Asks::Protocol(ask.protocol),
        },
    };
    match decide(agent, &request, at(ask.minute)) {
        Decision::Allow(grant) => Ok(grant.key.to_string()),
        Decision::Refuse(refusal) => Err(refusal.reason),
    }
}

fn about_requests() -> Vec<(&'static str, Ask, RefusalReason)> {
    use RefusalReason as R;
    vec![
        (
            "another path",
            asking(|a| a.http = Some((true, "GET", "/users"))),
            R::PathNotGranted,
        ),
        (
            "a path that hides another",
            asking(|a| a.http = Some((true, "GET", "/orders/%2e%2e/users"))),
            R::PathNotUnderstood,
        ),
        (
            "another method",
            asking(|a| a.http = Some((true, "POST", "/orders/1"))),
            R::MethodNotGranted,
        ),
        (
            "a query that a condition is not for",
            asking(|a| (a.http, a.query) = (Some((true, "GET", "/orders/1")), "all")),
            R::ConditionNotMet,
        ),
        (
            "headers that are not known",
            asking(|a| (a.http, a.headers) = (Some((true, "GET", "/orders/1")), None)),
            R::ConditionNotDecided,
        ),
        (
            "another path, by a neighbour",
            asking(|a| {
                (a.http, a.level) = (Some((true, "GET", "/users")), EvidenceLevel::Scope);
            }),
            R::EvidenceTooLow,
        ),
    ]
}

#[test]
fn a_request_is_refused_for_what_stands_nearest_in_its_way() {
    use RefusalReason as R;
    let rows = [
        (
            "another host",
            asking(|a| a.host = "example.com"),
            R::NoGrant,
        ),
        (
            "a host below",
            asking(|a| a.host = "x.api.example.com"),
            R::NoGrant,
        ),
        ("an address", asking(|a| a.host = "10.0.0.1"), R::NoGrant),
        ("another port", asking(|a| a.port = 8443), R::NoGrant),
        (
            "another protocol",
            asking(|a| a.protocol = Protocol::Tcp),
            R::WrongProtocol,
        ),
        ("the end is now", asking(|a| a.minute = 10), R::GrantEnded),
        ("the end is past", asking(|a| a.minute = 11), R::GrantEnded),
        (
            "a descendant only",
            asking(|a| a.level = EvidenceLevel::Lineage),
            R::EvidenceTooLow,
        ),
        (
            "a neighbour only",
            asking(|a| a.level = EvidenceLevel::Scope),
            R::EvidenceTooLow,
        ),
        (
            "another port and protocol",
            asking(|a| (a.port, a.protocol) = (80, Protocol::Tcp)),
            R::NoGrant,
        ),
        (
            "another protocol, ended",
            asking(|a| (a.protocol, a.minute) = (Protocol::Tcp, 10)),
            R::WrongProtocol,
        ),
        (
            "a neighbour, ended",
            asking(|a| (a.level, a.minute) = (EvidenceLevel::Scope, 11)),
            R::GrantEnded,
        ),
    ];
    let rows = rows.into_iter().chain(about_requests());
    let mut reached = BTreeSet::new();
    assert_eq!(ask(&agent([]), &ASK), Err(R::NoGrant), "no grant at all");
    for (what, request, reason) in rows {
        assert_eq!(
            ask(&agent([with_rules("team/g")]), &request),
            Err(reason),
            "{what}"
        );
        reached.insert(reason);
    }
    // These are about the request itself, found where uses are counted, or about messages (see `mcp.rs`).
    let brokers_own = [
        R::HostMismatch,
        R::NotCarried,
        R::UsedUp,
        R::ToolNotGranted,
        R::McpMethodNotGranted,
        R::McpNotUnderstood,
    ];
    let all = R::ALL
        .iter()
        .copied()
        .filter(|reason| !brokers_own.contains(reason));
    let all: BTreeSet<RefusalReason> = all.collect();
    assert_eq!(reached, all, "a reason without a row");
}

#[test]
fn of_several_refusals_the_one_nearest_to_a_yes_is_named() {
    let ended = LiveGrant {
        ends_at: at(-1),
        ..live("team/ended")
    };
    let strict = live("team/strict");
    let tcp = LiveGrant {
        resource: Resource {
            protocol: Protocol::Tcp,
            ..strict.resource.clone()
        },
        ..live("team/tcp")
    };
    let low = Ask {
        level: EvidenceLevel::Scope,
        ..ASK
    };
    assert_eq!(
        ask(&agent([tcp.clone()]), &low),
        Err(RefusalReason::WrongProtocol)
    );
    assert_eq!(
        ask(&agent([tcp.clone(), ended.clone()]), &low),
        Err(RefusalReason::GrantEnded)
    );
    let all = [strict, tcp, ended];
    assert_eq!(ask(&agent(all), &low), Err(RefusalReason::EvidenceTooLow));
}

#[test]
fn a_granted_request_is_allowed_until_the_last_moment() {
    assert_eq!(ask(&agent([live("team/g")]), &ASK), Ok("team/g".to_owned()));
    let scope = LiveGrant {
        requires: EvidenceLevel::Scope,
        ..live("team/g")
    };
    for level in EvidenceLevel::ALL {
        let request = Ask {
            level,
            minute: 9,
            ..ASK
        };
        assert_eq!(
            ask(&agent([scope.clone()]), &request),
            Ok("team/g".to_owned())
        );
    }
}

#[test]
fn a_level_is_enough_for_itself_and_for_what_is_below() {
    for requires in EvidenceLevel::ALL {
        for level in EvidenceLevel::ALL {
            let agent = agent([LiveGrant {
                requires,
                ..live("team/g")
            }]);
            let answer = ask(&agent, &Ask { level, ..ASK });
            assert_eq!(answer.is_ok(), level >= requires, "{level} for {requires}");
        }
    }
}

#[test]
fn of_several_grants_the_same_one_is_always_taken() {
    let plain = live("team/a");
    let later = LiveGrant {
        ends_at: at(20),
        ..live("team/b")
    };
    let latest = LiveGrant {
        ends_at: at(20),
        ..live("team/c")
    };
    let with_token = LiveGrant {
        credential: Some(token()),
        ..live("team/d")
    };
    let mut grants = vec![plain, later, latest, with_token];
    for expected in ["team/d", "team/b", "team/c", "team/a"] {
        let forwards = ask(&agent(grants.clone()), &ASK);
        let backwards = ask(&agent(grants.iter().rev().cloned()), &ASK);
        assert_eq!(forwards, Ok(expected.to_owned()));
        assert_eq!(backwards, forwards, "the order of grants decided");
        grants.retain(|grant| grant.key != key(expected));
    }
    assert_eq!(ask(&agent(grants), &ASK), Err(RefusalReason::NoGrant));
}

#[test]
fn a_grant_that_a_process_cannot_use_does_not_hide_one_that_it_can() {
    let strict = LiveGrant {
        credential: Some(token()),
        ..live("team/strict")
    };
    let open = LiveGrant {
        requires: EvidenceLevel::Scope,
        ..live("team/open")
    };
    let low = Ask {
        level: EvidenceLevel::Scope,
        ..ASK
    };
    assert_eq!(
        ask(&agent([strict.clone(), open.clone()]), &low),
        Ok("team/open".to_owned())
    );
    assert_eq!(
        ask(&agent([strict, open]), &ASK),
        Ok("team/strict".to_owned())
    );
}

#[test]
fn a_client_without_tls_is_led_to_a_service_with_it_and_never_the_reverse() {
    let plain = |port, path| Ask {
        port,
        http: Some((false, "GET", path)),
        ..ASK
    };
    let https = agent([with_rules("team/g")]);
    for port in [80, 443] {
        assert!(ask(&https, &plain(port, "/orders/1")).is_ok(), "{port}");
        let other = ask(&https, &plain(port, "/users"));
        assert_eq!(other, Err(RefusalReason::PathNotGranted));
    }
    // Over TLS, port 80 is another port.
    let encrypted = asking(|a| (a.port, a.http) = (80, Some((true, "GET", "/orders/1"))));
    assert_eq!(ask(&https, &encrypted), Err(RefusalReason::NoGrant));

    let mut in_the_clear = live("team/g");
    in_the_clear.resource.protocol = Protocol::Http;
    let http = agent([in_the_clear]);
    assert!(ask(&http, &plain(443, "/")).is_ok());
    let encrypted = asking(|a| a.http = Some((true, "GET", "/")));
    assert_eq!(ask(&http, &encrypted), Err(RefusalReason::WrongProtocol));
}

#[test]
fn what_is_carried_unread_has_no_requests() {
    let mut grant = live("team/g");
    grant.resource.tls = Tls::Passthrough;
    let agent = agent([grant]);
    let request = asking(|a| a.http = Some((true, "GET", "/")));
    assert_eq!(ask(&agent, &request), Err(RefusalReason::WrongProtocol));
    let passed = |agent: &DesiredAgent| {
        let request = Request {
            level: EvidenceLevel::Image,
            host: &host("api.example.com"),
            port: port(443),
            asks: Asks::Passthrough,
        };
        matches!(decide(agent, &request, at(0)), Decision::Allow(_))
    };
    assert!(passed(&agent));
    assert!(!passed(&self::agent([live("team/g")])));
}

#[test]
fn messages_are_decided_where_the_grant_is_for_mcp_and_nowhere_else() {
    static CALL: std::sync::LazyLock<McpMessage> = std::sync::LazyLock::new(|| McpMessage {
        method: Some("tools/call".into()),
        tool: Some("delete".into()),
        arguments: None,
    });
    let request = asking(|a| (a.http, a.mcp) = (Some((true, "POST", "/mcp")), Some(&*CALL)));
    let mut grant = live("team/g");
    grant.resource.protocol = Protocol::Mcp;
    assert!(ask(&agent([grant.clone()]), &request).is_ok());
    grant.resource.mcp = McpRule {
        methods: Vec::new(),
        tools: Some(vec!["get_*".parse().unwrap()]),
    };
    let refused = ask(&agent([grant.clone()]), &request);
    assert_eq!(refused, Err(RefusalReason::ToolNotGranted));
    // Beside it, a grant for HTTPS to that host allows what it carries.
    let both = agent([grant, live("team/https")]);
    assert_eq!(ask(&both, &request), Ok("team/https".to_owned()));
}
