//! How a credential gets into a request, and what happens when a service does not accept it.

use lanyard_protocol::broker::{BasicInjection, HeaderInjection, QueryInjection, injection::Way};

use crate::world::{SECRET, World, injected, within};

#[tokio::test]
async fn a_credential_that_the_service_does_not_accept_is_obtained_anew_once() {
    within(async {
        let world = World::start().await;
        world.agent.set(|known| known.rotates = true);
        let mut client = world.client().await;
        client.send(world.get("/demands-new")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        let requests = world.service.seen.borrow().requests.clone();
        assert_eq!(requests.len(), 2, "{requests:?}");
        assert!(
            requests[1].contains("authorization: Bearer new-secret-0123456789\n"),
            "{requests:?}"
        );
        // A body that was sent is not sent twice.
        let host = world.host();
        world.agent.set(|known| known.rotates = false);
        let post =
            format!("POST /demands-new HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi");
        client.send(post).await;
        assert!(client.reply().await.starts_with("HTTP/1.1 401"));
        assert_eq!(world.service.seen.borrow().requests.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn each_way_of_injection_reaches_the_service_and_not_the_client() {
    within(async {
        let mut world = World::start().await;
        let ways = [
            (
                Way::Header(HeaderInjection {
                    name: "x-api-key".into(),
                    prefix: String::new(),
                }),
                format!("x-api-key: {SECRET}\n"),
            ),
            (
                Way::Basic(BasicInjection {
                    username: "git".into(),
                }),
                "authorization: Basic ".to_owned(),
            ),
            (
                Way::Query(QueryInjection {
                    parameter: "key".into(),
                }),
                "GET /?a=1&key=sk-live-".to_owned(),
            ),
        ];
        for (way, expected) in ways {
            world
                .change(|state| state.grants[0].injection = injected(way))
                .await;
            let mut client = world.client().await;
            let own = "X-Api-Key: own\r\nAuthorization: Bearer own\r\n";
            let host = world.host();
            client
                .send(format!(
                    "GET /?a=1&key=own HTTP/1.1\r\nHost: {host}\r\n{own}\r\n"
                ))
                .await;
            let reply = client.reply().await;
            assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
            let request = world.service.seen.borrow().requests.last().unwrap().clone();
            assert!(request.contains(&expected), "{expected}: {request}");
            assert!(
                !request.contains("Bearer own") && !request.contains(": own"),
                "{request}"
            );
            for form in [
                SECRET,
                "c2stbGl2ZS0wMTIz",
                "sk-live-0123456789%2Fabcdef%2B%3F",
            ] {
                assert!(!client.has(form), "{form}: {reply}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_target_without_room_for_the_credential_goes_nowhere() {
    within(async {
        let mut world = World::start().await;
        let way = Way::Query(QueryInjection {
            parameter: "key".into(),
        });
        world
            .change(|state| state.grants[0].injection = injected(way))
            .await;
        world
            .agent
            .set(|known| known.secret = Some(vec![b'/'; 8 << 10]));
        let mut client = world.client().await;
        let long = format!("/{}", "a".repeat(48 << 10));
        client.send(world.get(&long)).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 414"), "{reply}");
        assert!(reply.contains(r#""reason":"TargetTooLong""#), "{reply}");
        assert!(world.service.seen.borrow().requests.is_empty());
        client.send(world.get("/")).await;
        assert!(client.reply().await.starts_with("HTTP/1.1 200"));
    })
    .await;
}
