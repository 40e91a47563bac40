//! Whoever says nothing more is not waited for: each stage of a connection has its limit. The clock stands still but
//! for what is waited for, so that a quarter of an hour takes no longer than anything else.

use std::{future::Future, io, sync::Arc, time::Duration};

use lanyard_node_agent_abi::{grant::carrier, tag::Tag};
use lanyard_protocol::{
    broker::{McpRule, Protocol, ScopeState, UpstreamProxy},
    record::Outcome,
};
use rustls::crypto::aws_lc_rs;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{self, Instant, timeout},
};

use crate::{
    client::{self, Client},
    world::{NAME, UNKNOWN, World, within},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// What the clock goes on by between the end of a stage and its being noticed: to the next of the broker's own
/// rounds.
const NOTICED: Duration = MINUTE;

/// Waits for the end of a stage that has begun, and takes as long as that. The clock goes on whenever nothing is to be
/// done: what is still on its way would be late.
async fn takes<T>(limit: Duration, ends: impl Future<Output = T>) -> T {
    time::pause();
    let begun = Instant::now();
    let ended = timeout(4 * limit + 10 * MINUTE, ends).await;
    let took = begun.elapsed();
    time::resume();
    let ended = ended.expect("it has an end");
    assert!(
        took + SECOND >= limit && took < limit + NOTICED,
        "{took:?} and not {limit:?}"
    );
    ended
}

async fn closed(stream: &mut TcpStream) {
    let read = stream.read(&mut [0; 64]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

async fn connected_as(world: &World, tag: Tag, begin: &[u8]) -> TcpStream {
    let mut stream = world.connect(Some(tag)).await;
    stream.write_all(begin).await.unwrap();
    stream
}

#[tokio::test]
async fn an_image_that_nobody_attests() {
    let world = World::start().await;
    let mut stream = connected_as(&world, world.held_tag(UNKNOWN), b"").await;
    takes(10 * SECOND, closed(&mut stream)).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_or_begins_a_handshake_and_no_more() {
    for begin in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let world = World::start().await;
        let mut stream = connected_as(&world, world.tag(), begin).await;
        takes(10 * SECOND, closed(&mut stream)).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_say_which_name_it_wants_where_tls_is_passed_through() {
    let mut world = World::start().await;
    let passed = |state: &mut ScopeState| {
        state.grants[0].passthrough = true;
        state.grants[0].credential = String::new();
        state.grants[0].injection = None;
    };
    world.change(passed).await;
    let mut stream = connected_as(&world, world.tag(), b"\x16\x03\x01\x02\x00\x01").await;
    takes(10 * SECOND, closed(&mut stream)).await;
}

#[tokio::test]
async fn a_resolver_that_is_asked_half_a_question() {
    let world = World::start().await;
    let tag = Tag {
        carrier: carrier::RESOLVER,
        ..world.tag()
    };
    let mut stream = connected_as(&world, tag, b"\x00\x20half").await;
    takes(10 * SECOND, closed(&mut stream)).await;
}

/// Before a request and in the middle of its head.
#[tokio::test]
async fn a_client_that_does_not_say_what_it_wants() {
    for begin in ["", "GET / HTTP/1.1\r\nHos"] {
        let world = World::start().await;
        let mut client = world.client().await;
        client.send(begin).await;
        let ended: io::Result<()> = takes(MINUTE, client.end()).await;
        drop(ended);
        assert!(world.service.seen.borrow().requests.is_empty());
    }
}

#[tokio::test]
async fn a_message_that_is_read_first_and_does_not_come() {
    let mut world = World::start().await;
    let speaks = |state: &mut ScopeState| {
        state.grants[0].protocol = Protocol::Mcp.into();
        state.grants[0].mcp = Some(McpRule {
            methods: vec!["tools/*".into()],
            tools: Vec::new(),
            any_tool: true,
        });
    };
    world.change(speaks).await;
    let mut client = world.client().await;
    let post = post(&world, "/", 100);
    let expecting = post.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    client.send(expecting).await;
    within(client.until("HTTP/1.1 100 Continue\r\n\r\n")).await;
    let reply = takes(MINUTE, client.reply()).await;
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
    assert!(world.service.seen.borrow().requests.is_empty());
}

#[tokio::test]
async fn a_node_agent_that_does_not_record() {
    let world = World::start().await;
    let mut client = world.client().await;
    world.agent.set(|known| known.records = false);
    client.send(world.get("/")).await;
    within(world.agent.until(|events| !events.is_empty())).await;
    let reply = takes(10 * SECOND, client.reply()).await;
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
    assert!(reply.contains("NotRecorded"), "{reply}");
    assert!(world.service.seen.borrow().requests.is_empty());
}

/// Of a service it takes the connection and says nothing, and so does a proxy.
#[tokio::test]
async fn a_service_or_a_proxy_that_says_nothing() {
    for (is_proxy, limit) in [(false, 10 * SECOND), (true, 15 * SECOND)] {
        let mut world = World::start().await;
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let mut tag = world.tag();
        let led = |state: &mut ScopeState| {
            if is_proxy {
                state.upstream_proxy = Some(UpstreamProxy {
                    host: address.ip().to_string(),
                    port: address.port().into(),
                    has_secret: false,
                    except: Vec::new(),
                });
            } else {
                state.grants[0].port = address.port().into();
                tag.port = address.port().to_be();
            }
        };
        world.change(led).await;
        // One that knows nothing of HTTP/2: else the service is asked for that first.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = client::config(&world.root, provider, rustls::DEFAULT_VERSIONS);
        let stream = world.connect(Some(tag)).await;
        let mut client = Client::with(stream, config, NAME).await.unwrap();
        let host = format!("{NAME}:{}", world.state.grants[0].port);
        let get = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.send(get).await;
        // Looking its name up is no matter of this clock.
        let taken = within(silent.accept()).await.unwrap();
        let reply = takes(limit, client.reply()).await;
        assert!(reply.starts_with("HTTP/1.1 502"), "{reply}");
        drop(taken);
    }
}

#[tokio::test]
async fn a_service_that_does_not_reply() {
    let world = World::start().await;
    let mut client = world.client().await;
    client.send(world.get("/never")).await;
    within(world.service.saw(|seen| !seen.requests.is_empty())).await;
    let reply = takes(15 * MINUTE, client.reply()).await;
    assert!(reply.starts_with("HTTP/1.1 502"), "{reply}");
    assert!(reply.contains("15 minutes"), "{reply}");
}

#[tokio::test]
async fn a_reply_that_stands_still_in_the_middle() {
    let world = World::start().await;
    let mut client = world.client().await;
    client.send(world.get("/stream")).await;
    world.service.stream("begun");
    within(client.until("begun")).await;
    let ended = takes(15 * MINUTE, client.end()).await;
    assert!(ended.is_err(), "it looks whole: {}", client.text());
    let ended = within(world.agent.ended()).await;
    assert_eq!(ended.outcome, Outcome::ClosedByService);
}

#[tokio::test]
async fn an_upload_that_stands_still_in_the_middle() {
    let world = World::start().await;
    let mut client = world.client().await;
    client.send(post(&world, "/up", 100)).await;
    client.send("begun").await;
    within(world.service.saw(|seen| seen.uploaded == b"begun")).await;
    takes(15 * MINUTE, until_closed(&mut client)).await;
    within(world.agent.ended()).await;
}

async fn until_closed(client: &mut Client) {
    client.until_or_end("\r\n\r\n").await;
}

fn post(world: &World, path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
        world.host()
    )
}
