//! How what is open ends.

use jiff::SignedDuration;
use lanyard_protocol::record::{Event, Outcome};

use crate::world::{World, tcp_grant, within};

#[tokio::test]
async fn the_end_of_a_grant_cuts_a_download() {
    within(async {
        let mut world = World::start().await;
        let mut client = world.client().await;
        client.send(world.get("/stream")).await;
        world.service.stream("begun");
        client.until("begun").await;
        world
            .end_grant_after(SignedDuration::from_millis(200))
            .await;
        assert!(client.end().await.is_err());
        assert!(!client.has("\r\n0\r\n"), "{}", client.text());
        let end = world.agent.ended().await;
        assert_eq!((end.outcome, end.received), (Outcome::CutByGrantEnd, 5));
        world.service.is_cut().await;

        let mut client = world.client().await;
        client.send(world.get("/")).await;
        let reply = client.reply().await;
        assert!(reply.contains(r#""reason":"GrantEnded""#), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn a_revocation_cuts_a_download_that_nobody_reads() {
    within(async {
        let mut world = World::start().await;
        let mut client = world.client().await;
        client.send(world.get("/stream")).await;
        world.service.stream("begun");
        client.until("begun").await;
        world.service.stream(vec![b'x'; 64 << 20]);
        world.revoke().await;
        assert_eq!(world.agent.ended().await.outcome, Outcome::CutByGrantEnd);
        assert!(client.end().await.is_err());
        assert!(client.received.len() < 64 << 20);
        world.service.is_cut().await;
    })
    .await;
}

#[tokio::test]
async fn a_revocation_cuts_a_request_that_has_no_reply_yet() {
    within(async {
        let mut world = World::start().await;
        let mut client = world.client().await;
        client.send(world.get("/never")).await;
        world.service.saw(|seen| seen.requests.len() == 1).await;
        world.revoke().await;
        assert!(client.end().await.is_err());
        let end = world.agent.ended().await;
        assert_eq!((end.outcome, end.status), (Outcome::CutByGrantEnd, None));
        // What the kernel still held of the request is not sent.
        world.service.saw(|seen| seen.resets == 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_state_that_changes_something_else_cuts_nothing() {
    within(async {
        let mut world = World::start().await;
        let mut client = world.client().await;
        client.send(world.get("/stream")).await;
        world.service.stream("begun");
        client.until("begun").await;
        let address = world.service.address;
        world
            .change(|state| state.grants.push(tcp_grant(address)))
            .await;
        world.service.stream("going on");
        client.until("going on").await;
    })
    .await;
}

#[tokio::test]
async fn what_becomes_of_a_request_is_recorded() {
    within(async {
        let world = World::start().await;
        let mut client = world.client().await;
        client.send(world.get("/stream")).await;
        world.service.stream("begun");
        client.until("begun").await;
        drop(client);
        assert_eq!(world.agent.ended().await.outcome, Outcome::ClosedByAgent);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_while_the_intent_is_written_leaves_a_whole_record() {
    within(async {
        let world = World::start().await;
        world.agent.set(|known| known.records = false);
        let mut client = world.client().await;
        client.send(world.get("/")).await;
        let is_intent = |event: &Event| matches!(event, Event::RequestIntended { .. });
        world
            .agent
            .until(|events| events.iter().any(is_intent))
            .await;
        drop(client);
        // A later connection is served; by then the end of the earlier one is known.
        world.client().await;
        world.agent.set(|known| known.records = true);
        assert_eq!(world.agent.ended().await.outcome, Outcome::ClosedByAgent);
        assert!(world.service.seen.borrow().requests.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_is_open_when_the_broker_is_told_to_end_is_recorded() {
    within(async {
        let mut world = World::start().await;
        let mut client = world.client().await;
        client.send(world.get("/stream")).await;
        world.service.stream("begun");
        client.until("begun").await;
        world.serving.abort_all();
        world.broker.farewell().await;
        assert_eq!(world.agent.ended().await.received, 5);
        assert!(client.end().await.is_err());
    })
    .await;
}

#[tokio::test]
async fn the_broker_ends_with_its_node_agent() {
    within(async {
        let mut world = World::start().await;
        world.agent.die();
        let reason = world.linked.join_next().await.unwrap().unwrap();
        assert!(reason.contains("closed"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn the_broker_ends_when_it_does_not_understand_a_state() {
    within(async {
        let mut world = World::start().await;
        world.state.grants[0].host = "*".into();
        world.agent.send_state(world.state.clone());
        let reason = world.linked.join_next().await.unwrap().unwrap();
        assert!(reason.contains("wildcard"), "{reason}");
    })
    .await;
}
