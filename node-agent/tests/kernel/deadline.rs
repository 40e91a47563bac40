//! A deadline that passes while data flows, with nobody alive to end anything.

use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level};

use super::{
    actor::Actor,
    destination::Family,
    node::{Node, now},
    peer::Peer,
};

/// How long a grant has, and how long after its end both sides go on trying, in nanoseconds.
const GRANT: u64 = 400_000_000;
const AFTER: u64 = 200_000_000;
/// The kernel decides on a packet and stamps it a moment later; the machine may do something else between.
const BETWEEN: i64 = 2_000_000;

/// Sends without a pause until `end`, whether or not anything moves.
const FLOOD: &str = "
s.settimeout(0)
sent = 0
while time.clock_gettime_ns(time.CLOCK_BOOTTIME) < END:
    try:
        sent += s.send(b'x' * 1024)
    except BlockingIOError:
        pass
";

/// Receives until `end`, and keeps when the kernel got the last byte, on the boot clock.
const RECEIVE: &str = "
import select, struct
def offset():
    def pair():
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return (after - before, wall - (before + after) // 2)
    return min(pair() for _ in range(50))[1]
SO_TIMESTAMPNS = 35
peer = listener.accept()[0]
peer.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
peer.settimeout(0)
received, last, ahead = 0, 0, offset()
while time.clock_gettime_ns(time.CLOCK_BOOTTIME) < END or select.select([peer], [], [], 0)[0]:
    if not select.select([peer], [], [], 0.01)[0]:
        continue
    data, control, _, _ = peer.recvmsg(65536, 128)
    received += len(data)
    for level, kind, stamp in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanos = struct.unpack('@qq', stamp[:16])
            last = seconds * 1_000_000_000 + nanos - ahead
";

fn number(actor: &mut Actor, name: &str) -> u64 {
    actor.run(name).as_u64().unwrap()
}

fn flood(node: &mut Node, family: Family) {
    let mut peer = node.outside();
    let host = family.real().to_string();
    peer.run(&format!(
        "listener = socket.create_server(({host:?}, 0), family=family({host:?}))"
    ));
    let port = u16::try_from(number(&mut peer, "listener.getsockname()[1]")).unwrap();
    let to = family.to(family.real(), port);
    let slot = node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();

    let deadline = now() + GRANT;
    node.end_at(slot, deadline);
    node.agent_dies();
    let end = format!("END = {}", deadline + AFTER);
    for (who, code) in [(&mut peer, RECEIVE), (&mut actor, FLOOD)] {
        who.run(&end);
        who.begin(code);
    }
    actor.finish().unwrap();
    peer.finish().unwrap();
    assert!(node.agent_starts(), "the programs went on");

    let (sent, received) = (number(&mut actor, "sent"), number(&mut peer, "received"));
    let last = number(&mut peer, "last");
    let late = last.cast_signed() - deadline.cast_signed();
    assert!(received > 0, "{family:?}: the grant was worth something");
    assert!(
        received < sent,
        "{family:?}: what was sent later did not arrive"
    );
    assert!(late <= BETWEEN, "{family:?}: {late} ns after the deadline");
    assert!(
        late > -100_000_000,
        "{family:?}: it ended {late} ns from the deadline"
    );
    let event = node.refusal(Cause::GrantEnded);
    assert!(event.at >= deadline && event.slot == slot);
}

#[test]
fn the_last_byte_arrives_before_the_deadline() {
    let mut node = Node::start();
    for family in Family::ALL {
        flood(&mut node, family);
    }
}

/// Nobody is there to reset it: these end it. A packet that is refused on its way out counts as none that was sent, so
/// that it is the user timeout which ends a connection that sends, too.
#[test]
fn a_connection_has_timeouts_that_end_it_when_nobody_answers() {
    const FIVE_MINUTES: u64 = 300_000;
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    actor.connect(&to).unwrap();
    let option = |level: &str, name: &str| format!("s.getsockopt(socket.{level}, socket.{name})");
    assert_eq!(actor.run(&option("SOL_SOCKET", "SO_KEEPALIVE")), 1);
    assert_eq!(
        actor.run(&option("IPPROTO_TCP", "TCP_USER_TIMEOUT")),
        FIVE_MINUTES
    );
}
