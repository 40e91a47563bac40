//! What must be there as a whole before it goes on: bounded in sum, and refused where it cannot be read.

use tokio::task::JoinSet;

use crate::{
    mcp::{CALL, post, world},
    world::{World, within},
};

/// How many send a message that never ends: more than there is room for, and each as long as one may be.
const COUNT: usize = 24;
const LENGTH: usize = 3_900_000;

/// The most of them that are held: as many as make up the room for all.
const HELD: usize = (64 << 20) / LENGTH;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

fn long_call() -> String {
    let argument = "x".repeat(LENGTH);
    CALL.replace(r#""n":7"#, &format!(r#""n":"{argument}""#))
}

#[tokio::test]
async fn messages_that_never_end_are_bounded_in_sum_and_others_are_carried_when_they_are_gone() {
    within(async {
        let world = world().await;
        let whole = post(&world, "/mcp", &long_call(), "");
        let mut senders = JoinSet::new();
        for _ in 0..COUNT {
            let mut client = world.client().await;
            let all_but_the_end = whole[..whole.len() - 1].to_owned();
            senders.spawn(async move {
                client.offer(all_but_the_end.as_bytes()).await;
                client.until_or_end("NoRoom").await;
                client.text()
            });
        }
        for _ in HELD..COUNT {
            let refused = senders.join_next().await.unwrap().unwrap();
            for expected in ["HTTP/1.1 503", "retry-after: 1\r\n", "NoRoom"] {
                assert!(refused.contains(expected), "{refused}");
            }
        }
        assert!(!senders.is_empty(), "some are held");
        // What need not be gathered needs no room.
        let mut other = world.client().await;
        other.send(world.get("/")).await;
        assert!(other.reply().await.starts_with("HTTP/1.1 200"));
        assert!(world.service.seen.borrow().uploaded.is_empty());

        senders.shutdown().await;
        until_carried(&world, &whole).await;
        let seen = world.service.seen.borrow();
        assert_eq!(seen.uploaded, long_call().as_bytes());
    })
    .await;
}

/// The connections that were dropped are gone when the broker has seen it.
async fn until_carried(world: &World, whole: &str) {
    loop {
        let mut client = world.client().await;
        client.offer(whole.as_bytes()).await;
        let reply = client.reply().await;
        if reply.starts_with("HTTP/1.1 200") {
            return;
        }
        assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
    }
}

#[tokio::test]
async fn a_list_of_tools_that_cannot_be_read_is_not_shown() {
    within(async {
        let world = world().await;
        for (path, reason) in [
            ("/long-tools-json", "ListTooLong"),
            ("/gzip-tools", "ServiceUnreachable"),
        ] {
            let mut client = world.client().await;
            client.send(post(&world, path, LIST, "")).await;
            let reply = client.reply().await;
            assert!(reply.starts_with("HTTP/1.1 502"), "{path}: {reply}");
            assert!(reply.contains(reason), "{path}: {reply}");
            assert!(!reply.contains("delete_repo"), "{path}: {reply}");
        }
        // A stream of events that began is cut within the one that cannot be read.
        let mut client = world.client().await;
        client
            .send(post(&world, "/long-tools-events", LIST, ""))
            .await;
        client.until_or_end("\r\n0\r\n\r\n").await;
        assert!(client.has("HTTP/1.1 200"), "{}", client.text());
        assert!(!client.has("\r\n0\r\n\r\n"), "it looks whole");
        assert!(!client.has("xxx"), "{}", client.received.len());
        // The service was asked for what can be read.
        let seen = world.service.seen.borrow();
        for request in &seen.requests {
            assert!(request.contains("accept-encoding: identity"), "{request}");
        }
    })
    .await;
}
