//! The stream to nodes, with real clients over mutual TLS.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

mod certificates;
mod fixture;

use std::time::Duration;

use lanyard_protocol::{
    NODES_PROTOCOL,
    nodes::{Base, FromNode, Hello, ResumePoint, ToNode},
};
use tonic::Code;

use self::fixture::{Fixture, hello};

#[tokio::test]
async fn a_node_is_told_what_its_pods_need_and_nothing_else() {
    let fixture = Fixture::start().await;
    fixture.agent("bot", "n1");
    fixture.agent("other", "n2");
    let mut one = fixture.follow("n1", hello(None)).await.unwrap();
    let mut two = fixture.follow("n2", hello(None)).await.unwrap();
    let (first, second) = (one.delta().await, two.delta().await);
    assert_eq!((first.base, second.base), (Base::Nothing, Base::Nothing));
    let names = |delta: &lanyard_protocol::nodes::Delta| -> Vec<String> {
        delta.agents.keys().map(ToString::to_string).collect()
    };
    assert_eq!(names(&first), ["team/bot"]);
    assert_eq!(names(&second), ["team/other"]);
    assert_eq!(first.pods.len(), 1);
    // A change of one is no word to the other, which only hears that the operator lives.
    fixture.agent("more", "n1");
    let delta = one.delta().await;
    assert_eq!(delta.base, Base::Version(first.version));
    assert_eq!(names(&delta), ["team/more"]);
    assert_eq!(two.next().await.unwrap(), ToNode::Beat);
}

#[tokio::test]
async fn a_node_that_comes_back_hears_what_it_missed_and_one_with_a_gap_everything() {
    let fixture = Fixture::start().await;
    fixture.agent("bot", "n1");
    let mut node = fixture.follow("n1", hello(None)).await.unwrap();
    let first = node.delta().await;
    node.say(&FromNode::Acknowledged(first.version)).await;
    fixture
        .until(|state| {
            state.followers.word_of(&"n1".parse().unwrap())
                != lanyard_operator::decide::followers::Word::Silent
        })
        .await;
    drop(node);
    fixture.agent("more", "n1");
    let known = ResumePoint {
        epoch: first.epoch,
        version: first.version,
    };
    let delta = fixture
        .follow("n1", hello(Some(known)))
        .await
        .unwrap()
        .delta()
        .await;
    assert_eq!(delta.base, Base::Version(first.version));
    assert_eq!(delta.agents.len(), 1);
    for gap in [
        ResumePoint {
            epoch: first.epoch,
            version: 99,
        },
        ResumePoint {
            epoch: first.epoch ^ 1,
            version: first.version,
        },
    ] {
        let delta = fixture
            .follow("n1", hello(Some(gap)))
            .await
            .unwrap()
            .delta()
            .await;
        assert_eq!(delta.base, Base::Nothing);
        assert_eq!(delta.agents.len(), 2);
    }
}

#[tokio::test]
async fn a_newer_stream_ends_the_older_one_of_the_same_node() {
    let fixture = Fixture::start().await;
    let mut old = fixture.follow("n1", hello(None)).await.unwrap();
    old.delta().await;
    let mut new = fixture.follow("n1", hello(None)).await.unwrap();
    new.delta().await;
    assert_eq!(old.end().await.code(), Code::Aborted);
    assert_eq!(new.next().await.unwrap(), ToNode::Beat);
}

#[tokio::test]
async fn a_node_that_does_not_read_costs_no_memory_and_then_hears_what_holds() {
    let fixture = Fixture::start().await;
    let mut slow = fixture.follow("n1", hello(None)).await.unwrap();
    let first = slow.delta().await;
    for round in 0..200 {
        fixture.agent(&format!("bot-{round}"), "n1");
        tokio::task::yield_now().await;
    }
    // It reads on: a handful of deltas, not one for each change.
    let mut agents = 0;
    let mut deltas = 0;
    let mut version = first.version;
    slow.say(&FromNode::Acknowledged(version)).await;
    while agents < 200 {
        let delta = slow.delta().await;
        assert_eq!(delta.base, Base::Version(version), "no gap");
        version = delta.version;
        agents += delta.agents.len();
        deltas += 1;
        slow.say(&FromNode::Acknowledged(version)).await;
    }
    assert_eq!(agents, 200);
    assert!(deltas < 200, "{deltas} deltas");
}

#[tokio::test]
async fn only_a_certificate_of_a_node_from_an_authority_of_ours_follows() {
    let fixture = Fixture::start().await;
    for id in [
        "spiffe://example.org/ns/team/agent/bot",
        "spiffe://example.com/lanyard/node/n1",
        "https://example.org/lanyard/node/n1",
    ] {
        let refused = fixture
            .follow_as(&fixture.authority.issue(&[id]), hello(None))
            .await;
        assert!(refused.is_err(), "{id} was let in");
    }
    let two = [
        "spiffe://example.org/lanyard/node/n1",
        "spiffe://example.org/lanyard/node/n2",
    ];
    assert!(
        fixture
            .follow_as(&fixture.authority.issue(&two), hello(None))
            .await
            .is_err()
    );
    assert!(
        fixture
            .follow_as(&fixture.authority.issue(&[]), hello(None))
            .await
            .is_err()
    );
    let stranger = certificates::Authority::new();
    let forged = stranger.issue(&two[..1]);
    assert!(fixture.follow_as(&forged, hello(None)).await.is_err());
    assert!(
        fixture
            .follow_without_certificate(hello(None))
            .await
            .is_err()
    );
    assert!(fixture.follow("n1", hello(None)).await.is_ok());
}

#[tokio::test]
async fn the_first_message_is_a_hello_of_this_protocol() {
    let fixture = Fixture::start().await;
    let other = FromNode::Hello(Hello {
        version: "9".into(),
        protocol: NODES_PROTOCOL + 1,
        resume: None,
    });
    for (message, code) in [
        (other, Code::FailedPrecondition),
        (FromNode::Acknowledged(1), Code::InvalidArgument),
    ] {
        let refused = fixture.follow("n1", message).await;
        assert_eq!(refused.err().unwrap().code(), code);
    }
}

#[tokio::test]
async fn beats_end_when_the_api_server_is_not_heard() {
    let fixture = Fixture::start().await;
    let mut node = fixture.follow("n1", hello(None)).await.unwrap();
    node.delta().await;
    assert_eq!(node.next().await.unwrap(), ToNode::Beat);
    let source = lanyard_operator::decide::state::Source::Grants;
    fixture.hub.note_watch(source, true);
    while tokio::time::timeout(Duration::from_secs(1), node.next())
        .await
        .is_ok()
    {}
    fixture.hub.note_watch(source, false);
    assert_eq!(node.next().await.unwrap(), ToNode::Beat);
}

#[tokio::test]
async fn a_replica_that_does_not_lead_sends_nodes_on() {
    let fixture = Fixture::start().await;
    let mut node = fixture.follow("n1", hello(None)).await.unwrap();
    node.delta().await;
    fixture.other_leads();
    assert_eq!(node.end().await.code(), Code::Aborted);
    let refused = fixture.follow("n1", hello(None)).await;
    assert_eq!(refused.err().unwrap().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_new_certificate_is_served_to_new_connections_and_old_ones_go_on() {
    let fixture = Fixture::start().await;
    let mut node = fixture.follow("n1", hello(None)).await.unwrap();
    node.delta().await;
    let next = certificates::Authority::new();
    fixture.rotate(&next);
    fixture.agent("bot", "n1");
    assert_eq!(node.delta().await.agents.len(), 1);
    assert!(
        fixture.follow("n2", hello(None)).await.is_err(),
        "its authority is gone"
    );
    let new = next.issue(&["spiffe://example.org/lanyard/node/n2"]);
    assert!(
        fixture
            .follow_trusting(&new, &next, hello(None))
            .await
            .is_ok()
    );
}
