//! Whoever reads or writes slowly, on either side of a broker, costs it a bounded amount of memory, and nobody else
//! waits for him.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{collections::BTreeMap, time::Duration};

use lanyard_e2e::{
    brokers::resident_kib,
    counterparts,
    dialogue::Dialogue,
    grant::NamedGrant,
    ledger::{self, Ledger},
    scenes::{Stage, TOKEN, TOOLS, USER},
    service::NAME,
    wait,
};

/// How many stand still at a time.
const COUNT: usize = 100;

/// What each of them may cost, in KiB. Where everything on its way is full, that is, by the limits of the broker
/// (`broker/src/limits.rs`), with HTTP/1.1 two buffers of 72 KiB in hyper and as much again in TLS on each side;
/// with HTTP/2 a window of 256 KiB that the service filled, 64 KiB that wait to be written, and a share of the
/// connections. Allocators and a build without optimisation add to that; a body that was gathered would be a
/// hundred times as large.
const EACH_KIB: u64 = 1024;

/// How long a message is, in bytes: nearly as long as one may be.
const MESSAGE: &str = "4000000";

/// What all that is gathered may cost, in KiB: 64 MiB, and as much again for allocators and for what grows, is copied
/// and is then given back. As many messages, each as long as one may be, are three times that.
const GATHERED_KIB: u64 = 128 << 10;

/// Begins many requests, each on a connection of its own, and lets them stand as they are.
const STALL: &str = r#"
import http.client, ssl, sys, threading
host, kind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context()
open = []
def begin():
    connection = http.client.HTTPSConnection(host, 8445, timeout=60, context=context)
    if kind == "read":
        connection.request("GET", "/large?pieces=1600")
        open.append((connection, connection.getresponse()))
        return
    connection.putrequest("POST", "/ignore")
    connection.putheader("Content-Length", str(100 << 20))
    connection.endheaders()
    connection.sock.settimeout(1)
    try:
        while True:
            connection.sock.send(b"x" * 65536)
    except TimeoutError:
        open.append((connection, None))
for _ in range(count // 20):
    threads = [threading.Thread(target=begin) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("stalled", len(open), flush=True)
for line in sys.stdin:
    # One of them goes on after all.
    connection, reply = open.pop()
    print("read on", reply.status, len(reply.read()) >> 20, flush=True)
"#;

fn stage(port: u16) -> Stage {
    let stage = Stage::with_tools().unwrap();
    let grant = NamedGrant {
        port,
        ..stage.grant("bodies")
    };
    stage.give(&grant).unwrap();
    stage
}

/// Messages of MCP, whose tools are to be known before they are carried.
fn messages(stage: &Stage) -> Dialogue {
    let grant = NamedGrant {
        port: ledger::PORT,
        protocol: "MCP",
        resource: vec!["mcp: { tools: [get_*] }".to_owned()],
        ..stage.grant("messages")
    };
    stage.give(&grant).unwrap();
    let (port, count) = (ledger::PORT.to_string(), COUNT.to_string());
    let arguments = [NAME, &port, &count, MESSAGE].map(|argument| argument as &str);
    Dialogue::with_peer(stage, TOOLS, "messages.py", &arguments).unwrap()
}

fn stall(stage: &Stage, kind: &str) -> Dialogue {
    let python = stage.python.display().to_string();
    let count = COUNT.to_string();
    let command = [&python, "-c", STALL, NAME, kind, &count].map(|word| word as &str);
    let mut run = stage.lanyard.run_as(TOOLS, Some(USER), &command);
    Dialogue::start(&mut run).unwrap()
}

/// The most memory that the broker holds, once it takes no more.
fn settled(broker: u32) -> u64 {
    let mut known = Vec::new();
    wait::until("the broker takes no more", Duration::from_mins(1), || {
        known.push(resident_kib(broker)?);
        let before = known.len().checked_sub(50).map(|at| known[at]);
        let now = known[known.len() - 1];
        Ok(before.is_some_and(|before| now <= before).then_some(now))
    })
    .unwrap()
}

fn is_bounded(before: u64, stalled: u64, what: &str) {
    let (count, grown) = (COUNT as u64, stalled.saturating_sub(before));
    assert!(
        grown < count * EACH_KIB,
        "{what}: {stalled} KiB, which are {grown} more than before"
    );
}

#[test]
fn a_hundred_clients_that_do_not_read_cost_no_more_than_buffers() {
    let stage = stage(8445);
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    let mut idle = Dialogue::with_peer(&stage, TOOLS, "clients.py", &["urllib"]).unwrap();
    assert_eq!(idle.hear().unwrap(), "done");
    let before = settled(stage.lanyard.only_broker().unwrap());
    idle.end().unwrap();
    let mut stalled = stall(&stage, "read");
    assert_eq!(
        stalled.hear().unwrap(),
        format!("stalled {COUNT}"),
        "{}",
        stage.lanyard.daemon_log()
    );
    let broker = stage.lanyard.only_broker().unwrap();
    is_bounded(before, settled(broker), "who does not read");
    assert_eq!(stalled.ask("go on").unwrap(), "read on 200 100");
}

#[test]
fn a_hundred_clients_whose_service_does_not_read_cost_no_more_than_buffers() {
    let stage = stage(8445);
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    let mut stalled = stall(&stage, "write");
    assert_eq!(
        stalled.hear().unwrap(),
        format!("stalled {COUNT}"),
        "{}",
        stage.lanyard.daemon_log()
    );
    let broker = stage.lanyard.only_broker().unwrap();
    is_bounded(0, settled(broker), "whose service does not read");
}

/// Streams of few connections, which share what they have with the streams of others.
#[test]
fn a_hundred_streams_that_nobody_reads_are_bounded_and_keep_nobody_waiting() {
    let stage = stage(ledger::PORT);
    let _ledger = Ledger::open(&stage.lab).unwrap();
    let port = ledger::PORT.to_string();
    let client = || Dialogue::with_peer(&stage, TOOLS, "streams.py", &[NAME, &port]).unwrap();
    let mut one = client();
    assert_eq!(one.ask("get /a").unwrap(), "200 /a");
    let broker = stage.lanyard.only_broker().unwrap();
    let before = settled(broker);
    for number in 0..COUNT {
        let began = one.ask("stall /large").unwrap();
        assert_eq!(
            began,
            format!("{} 65535", 2 * number + 3),
            "a stream waits for another: {}",
            stage.lanyard.daemon_log()
        );
    }
    is_bounded(before, settled(broker), "streams that nobody reads");
    // The same client, whose connection to the service is theirs too.
    for _ in 0..20 {
        assert_eq!(
            one.ask("get /a").unwrap(),
            "200 /a",
            "{}",
            stage.lanyard.daemon_log()
        );
    }
    one.end().unwrap();
}

/// Each of them is read whole before it is decided, and none ever is.
#[test]
fn a_hundred_messages_that_never_end_are_bounded_in_sum_and_others_are_carried_when_they_are_gone()
{
    let stage = stage(8445);
    let _ledger = Ledger::open(&stage.lab).unwrap();
    let mut one = messages(&stage);
    assert_eq!(one.ask("call").unwrap(), "200");
    let broker = stage.lanyard.only_broker().unwrap();
    let before = settled(broker);
    let answered = one.ask("begin").unwrap();
    let counts: BTreeMap<&str, usize> = answered
        .split(' ')
        .map(|counted| counted.split_once(':').unwrap())
        .map(|(status, times)| (status, times.parse().unwrap()))
        .collect();
    // No more of them are held than there is room for, and some are.
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["503", "none"]);
    assert!((1..=16).contains(&counts["none"]), "{answered}");
    assert_eq!(counts.values().sum::<usize>(), COUNT);
    let grown = settled(broker).saturating_sub(before);
    assert!(grown < GATHERED_KIB, "{grown} KiB more than before");
    assert_eq!(one.ask("leave").unwrap(), "left");
    assert_eq!(one.ask("call").unwrap(), "200");
    assert_eq!(stage.lanyard.only_broker().unwrap(), broker);
    one.end().unwrap();
}
