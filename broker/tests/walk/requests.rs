//! Requests: decided, recorded, given their credential, carried.

use lanyard_access::reason::RefusalReason;
use lanyard_node_agent_abi::{process::level, tag::Tag};
use lanyard_protocol::{
    broker::{Grant, HttpRule, ScopeState},
    record::{Event, Outcome},
};

use crate::{
    authority::Authority,
    node_agent::FAILURE,
    world::{SECRET, World, within},
};

#[tokio::test]
async fn a_granted_request_has_the_token_and_the_client_never_sees_it() {
    within(async {
        let world = World::start().await;
        let mut client = world.client().await;
        let own = "Authorization: Bearer own\r\nAccept-Encoding: gzip\r\nConnection: x-own\r\nX-Own: 1\r\n";
        client
            .send(format!("GET /echo?q=secret HTTP/1.1\r\nHost: {}\r\n{own}\r\n", world.host()))
            .await;
        let reply = client.reply().await;

        let request = world.service.seen.borrow().requests[0].clone();
        assert!(request.contains(&format!("authorization: Bearer {SECRET}\n")), "{request}");
        assert_eq!(request.matches("authorization").count(), 1);
        assert!(request.contains("accept-encoding: identity\n"), "{request}");
        assert!(request.contains(&format!("host: {}\n", world.host())), "{request}");
        assert!(!request.contains("x-own"), "{request}");

        // The service echoed all of it, in headers and body.
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        let stars = "*".repeat(SECRET.len());
        assert_eq!(reply.matches(&format!("Bearer {stars}")).count(), 2, "{reply}");
        assert!(!client.has(SECRET) && !client.has("0123456789"), "{reply}");
        assert!(!reply.contains("alt-svc"), "{reply}");

        let end = world.agent.ended().await;
        assert_eq!((end.outcome, end.status), (Outcome::Completed, Some(200)));
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.len() > 10);
        assert_eq!((end.sent, end.received), (0, body.len() as u64));
        let records = serde_json::to_string(&world.agent.events()).unwrap();
        assert!(!records.contains(SECRET) && !records.contains("q=secret"), "{records}");
    })
    .await;
}

#[tokio::test]
async fn an_encoded_reply_to_a_request_with_a_credential_is_not_carried() {
    within(async {
        let world = World::start().await;
        let mut client = world.client().await;
        client.send(world.get("/gzip")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 502"), "{reply}");
        assert!(!client.has(SECRET));
    })
    .await;
}

#[tokio::test]
async fn a_reply_without_a_body_is_complete() {
    within(async {
        let world = World::start().await;
        let mut client = world.client().await;
        client.send(world.get("/head").replace("GET", "HEAD")).await;
        client.until("\r\n\r\n").await;
        let end = world.agent.ended().await;
        assert_eq!((end.outcome, end.received), (Outcome::Completed, 0));
        assert!(!client.has(SECRET));
        client.send(world.get("/")).await;
        client.until("GET /").await;
    })
    .await;
}

#[tokio::test]
async fn another_host_is_misdirected() {
    within(async {
        let world = World::start().await;
        let mut client = world.client().await;
        client
            .send("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")
            .await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 421"), "{reply}");
        assert!(reply.contains("application/problem+json"), "{reply}");
        assert!(reply.contains("lanyard explain --last"), "{reply}");
        let (host, reason) = world.agent.refused().await;
        assert_eq!(
            (host.as_str(), reason),
            ("other.example", RefusalReason::HostMismatch)
        );
        assert!(world.service.seen.borrow().requests.is_empty());

        // The right host is served over the same connection.
        client.send(world.get("/")).await;
        assert!(client.reply().await.starts_with("HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test]
async fn a_request_under_no_grant_is_refused_with_its_reason() {
    within(async {
        let mut world = World::start().await;
        let weak = Tag {
            level: level::SCOPE,
            ..world.tag()
        };
        let mut client = world.client_with(weak).await;
        client.send(world.get("/")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 403"), "{reply}");
        assert!(reply.contains(r#""reason":"EvidenceTooLow""#), "{reply}");
        assert_eq!(world.agent.refused().await.1, RefusalReason::EvidenceTooLow);

        world.revoke().await;
        let mut client = world.client().await;
        client.send(world.get("/")).await;
        let reply = client.reply().await;
        assert!(reply.contains(r#""reason":"NoGrant""#), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn tunnels_and_traces_are_refused() {
    within(async {
        let world = World::start().await;
        for (request, status) in [
            ("CONNECT other.example:443", "405"),
            ("TRACE /", "405"),
        ] {
            let mut client = world.client().await;
            let host = world.host();
            client
                .send(format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"))
                .await;
            let reply = client.reply().await;
            assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {reply}");
        }
        assert!(world.service.seen.borrow().requests.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_intent_is_written_before_the_service_sees_anything() {
    within(async {
        let world = World::start().await;
        world.agent.set(|known| known.records = false);
        // A broker that did not wait for the first would have reached the service while it takes the others.
        let mut clients = Vec::new();
        for count in 1..=5 {
            let mut client = world.client().await;
            client.send(world.get("/")).await;
            clients.push(client);
            world.agent.until(|events| intents(events) == count).await;
        }
        assert!(world.service.seen.borrow().requests.is_empty());
        world.agent.set(|known| known.records = true);
        for mut client in clients {
            assert!(client.reply().await.starts_with("HTTP/1.1 200"));
        }
        assert_eq!(world.service.seen.borrow().connections, 5);
    })
    .await;
}

fn intents(events: &[Event]) -> usize {
    let is_intent = |event: &&Event| matches!(event, Event::RequestIntended { .. });
    events.iter().filter(is_intent).count()
}

#[tokio::test]
async fn without_the_secret_nothing_goes_to_the_service() {
    within(async {
        let world = World::start().await;
        world.agent.set(|known| known.secret = None);
        let mut client = world.client().await;
        client.send(world.get("/")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
        let (_, problem) = reply.split_once("\r\n\r\n").unwrap();
        let problem: serde_json::Value = serde_json::from_str(problem).unwrap();
        assert_eq!(problem["status"], 503, "{problem}");
        assert_eq!(problem["reason"], "CredentialUnavailable", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("CredentialSource default/token"),
            "{detail}"
        );
        // What the source said stays with whoever looks after it.
        assert!(!client.has(FAILURE), "{reply}");
        assert_eq!(
            world.agent.ended().await.outcome,
            Outcome::CredentialUnavailable
        );
        assert!(world.service.seen.borrow().requests.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_recorded_as_such() {
    type Break = fn(&mut Grant);
    let breaks: [(Break, &str); 2] = [
        (|grant| grant.allow_private = false, "allowPrivate"),
        (
            |grant| grant.ca_bundle = Authority::new("another").pem(),
            "TLS handshake",
        ),
    ];
    for (broken, why) in breaks {
        within(async {
            let mut world = World::start().await;
            let change = |state: &mut ScopeState| broken(&mut state.grants[0]);
            world.change(change).await;
            let mut client = world.client().await;
            client.send(world.get("/")).await;
            let reply = client.reply().await;
            assert!(reply.starts_with("HTTP/1.1 502"), "{reply}");
            assert!(reply.contains(why), "{reply}");
            assert_eq!(
                world.agent.ended().await.outcome,
                Outcome::ServiceUnreachable
            );
        })
        .await;
    }
}

#[tokio::test]
async fn an_upload_is_carried_as_it_comes() {
    within(async {
        let world = World::start().await;
        let mut client = world.client().await;
        let host = world.host();
        client
            .send(format!("POST /up HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"))
            .await;
        client.until("100 Continue").await;
        client.send("5\r\nfirst\r\n").await;
        world.service.saw(|seen| seen.uploaded == b"first").await;
        client.send("4\r\nlast\r\n0\r\n\r\n").await;
        client.until("HTTP/1.1 200").await;
        assert_eq!(world.service.seen.borrow().uploaded, b"firstlast");
        // Of the two framings the client gave, one arrives.
        let request = world.service.seen.borrow().requests[0].clone();
        assert!(request.contains("transfer-encoding: chunked"), "{request}");
        assert!(!request.contains("content-length"), "{request}");
        assert_eq!(world.agent.ended().await.sent, 9);
    })
    .await;
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another_over_one_way() {
    within(async {
        let world = World::start().await;
        let mut client = world.client().await;
        for _ in 0..3 {
            client.send(world.get("/")).await;
            assert!(client.reply().await.starts_with("HTTP/1.1 200"));
        }
        let mut other = world.client().await;
        other.send(world.get("/")).await;
        other.reply().await;
        assert_eq!(world.service.seen.borrow().requests.len(), 4);
        // That of the first is busy with it no more, and is taken by the second.
        assert_eq!(world.service.seen.borrow().connections, 1);
    })
    .await;
}

#[tokio::test]
async fn only_requests_that_a_rule_is_for_are_carried() {
    within(async {
        let mut world = World::start().await;
        world
            .change(|state| {
                state.grants[0].http = vec![HttpRule {
                    methods: vec!["GET".into()],
                    path: "/orders/**".into(),
                }];
            })
            .await;
        let mut client = world.client().await;
        for (request, reason) in [
            ("GET /orders/7", None),
            ("HEAD /orders/7", None),
            ("GET /users", Some("PathNotGranted")),
            ("GET /orders/%2e%2e/users", Some("PathNotUnderstood")),
            ("DELETE /orders/7", Some("MethodNotGranted")),
        ] {
            let host = world.host();
            client
                .send(format!("{request} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .await;
            if request.starts_with("HEAD") {
                client.until("x-echo-accept-encoding").await;
                client = world.client().await;
                continue;
            }
            let reply = client.reply().await;
            let status = if reason.is_some() { "403" } else { "200" };
            assert!(
                reply.starts_with(&format!("HTTP/1.1 {status}")),
                "{request}: {reply}"
            );
            if let Some(reason) = reason {
                assert!(reply.contains(reason), "{request}: {reply}");
            }
        }
        let requests = world.service.seen.borrow().requests.join("");
        assert!(
            !requests.contains("/users") && !requests.contains("DELETE"),
            "{requests}"
        );
    })
    .await;
}

#[tokio::test]
async fn where_methods_or_paths_are_ruled_no_header_changes_them_at_the_service() {
    const OVERRIDES: [&str; 5] = [
        "x-http-method",
        "X-HTTP-Method-Override",
        "x_method_override",
        "X-Original-URL",
        "X-Rewrite-URL",
    ];
    within(async {
        let mut world = World::start().await;
        for is_ruled in [false, true] {
            if is_ruled {
                let rule = HttpRule {
                    methods: vec!["GET".into()],
                    path: "/".into(),
                };
                world
                    .change(|state| state.grants[0].http = vec![rule])
                    .await;
            }
            let host = world.host();
            let own = OVERRIDES.map(|name| format!("{name}: DELETE\r\n")).concat();
            let mut client = world.client().await;
            client
                .send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{own}\r\n"))
                .await;
            assert!(client.reply().await.starts_with("HTTP/1.1 200"));
            let request = world.service.seen.borrow().requests.last().unwrap().clone();
            for name in OVERRIDES {
                let name = format!("\n{}: ", name.to_lowercase());
                assert_eq!(request.contains(&name), !is_ruled, "{name}: {request}");
            }
        }
    })
    .await;
}
