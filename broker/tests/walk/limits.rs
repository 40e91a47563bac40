//! Grants that allow only so much.

use lanyard_access::reason::RefusalReason;
use lanyard_protocol::record::{Event, Outcome};

use crate::world::{World, within};

#[tokio::test]
async fn no_more_bytes_are_carried_than_the_grant_allows_and_the_rest_is_given_back() {
    within(async {
        let mut world = World::start().await;
        world
            .change(|state| state.grants[0].max_bytes = 100_000)
            .await;
        let mut client = world.client().await;
        client.send(world.get("/")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        let left = 100_000 - body.len() as u64;
        let mut known = world.agent.left.clone();
        known.wait_for(|known| *known == left).await.unwrap();

        client.send(world.get("/stream")).await;
        world.service.stream(vec![b'x'; 60_000]);
        world.service.stream(vec![b'y'; 60_000]);
        assert!(client.end().await.is_err());
        assert!(
            !client.has("yyyy"),
            "what would be more is not carried in part"
        );
        world
            .agent
            .until(|events| {
                events.iter().any(|event| {
                    matches!(
                        event,
                        Event::RequestEnded {
                            outcome: Outcome::CutByLimit,
                            received_bytes: 60_000,
                            ..
                        }
                    )
                })
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_request_under_a_grant_that_is_used_up_is_refused_with_that_reason() {
    within(async {
        let world = World::start().await;
        world.agent.set(|known| known.uses = Some(1));
        let mut client = world.client().await;
        client.send(world.get("/")).await;
        assert!(client.reply().await.starts_with("HTTP/1.1 200"));
        client.send(world.get("/")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 403"), "{reply}");
        assert!(reply.contains(r#""reason":"UsedUp""#), "{reply}");
        assert!(reply.contains(r#""grant":"default/api""#), "{reply}");
        let (_, reason) = world.agent.refused().await;
        assert_eq!(reason, RefusalReason::UsedUp);
        assert_eq!(world.service.seen.borrow().requests.len(), 1);
    })
    .await;
}
