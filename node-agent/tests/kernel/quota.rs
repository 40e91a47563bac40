//! A scope's share of the maps: what is beyond is refused, and is nobody else's loss.

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::carrier,
    process::{Usage, level, quota},
};

use super::{actor::Actor, destination::Family, node::Node, peer::Peer, wait::until};

/// Starts a child that waits, and then connects if it is told to; its number.
const CHILD: &str = "
gate, said = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    os.read(gate[0], 1)
    os.write(said[1], answer(f'connect({host!r}, {port}) and None').encode())
    os._exit(0)
";
/// The same by a program of its own, which has the actor's code.
const PROGRAM: &str = "
gate, said = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    os.dup2(gate[0], 0)
    os.dup2(said[1], 1)
    os.execv(sys.executable, sys.orig_argv)
answers = os.fdopen(said[0])
";

fn usage(node: &mut Node) -> Usage {
    let scope = node.scope;
    node.maps().usage(scope).unwrap()
}

/// Says that the scope uses so much already.
fn used(node: &mut Node, change: impl FnOnce(&mut Usage)) {
    let (scope, mut usage) = (node.scope, usage(node));
    change(&mut usage);
    node.maps().set_usage(scope, usage).unwrap();
}

fn aim(actor: &mut Actor, peer: &Peer) {
    let (host, port) = (Family::V4.real(), peer.port());
    actor.run(&format!("host, port = '{host}', {port}"));
}

/// What the child says of its connection.
fn connects(actor: &mut Actor) -> String {
    let answer = actor.run("os.write(gate[1], b'x') and os.read(said[0], 1000).decode()");
    answer.as_str().unwrap().to_owned()
}

fn refused(cause: Cause, node: &mut Node, before: u64) {
    until("it is counted", || {
        (node.refusals(cause) > before).then_some(())
    });
}

#[test]
fn a_process_beyond_the_share_reaches_nothing_and_other_scopes_do() {
    let (mut node, mut other) = (Node::start(), Node::start());
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    for node in [&mut node, &mut other] {
        node.grant(level::IMAGE, &to, carrier::DIRECT);
    }
    let mut actor = node.attested(level::IMAGE);
    aim(&mut actor, &peer);
    actor.run(CHILD);
    assert!(connects(&mut actor).contains("null"), "within its share");
    peer.accept();

    let before = node.refusals(Cause::QuotaUsedUp);
    used(&mut node, |usage| usage.processes = quota::PROCESSES);
    actor.run(CHILD);
    refused(Cause::QuotaUsedUp, &mut node, before);
    assert!(connects(&mut actor).contains("EPERM"), "beyond its share");
    node.refusal(Cause::NoProcess);
    actor.connect(&to).unwrap();
    peer.accept();

    drop(actor);
    let mut elsewhere = other.attested(level::IMAGE);
    aim(&mut elsewhere, &peer);
    elsewhere.run(CHILD);
    assert!(connects(&mut elsewhere).contains("null"), "another scope");
}

#[test]
fn an_image_beyond_the_share_is_refused_and_not_told_of() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let told = "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)";
    actor.run(told);
    assert_eq!(node.other_execs().len(), 2, "an execution and its end");

    let before = node.refusals(Cause::QuotaUsedUp);
    used(&mut node, |usage| usage.images = quota::IMAGES);
    actor.run(told);
    refused(Cause::QuotaUsedUp, &mut node, before);
    assert_eq!(node.other_execs(), [], "nobody would ever hear of its end");
    actor.run(PROGRAM);
    let (host, code) = (Family::V4.real(), "answers.readline()");
    assert!(actor.run(code).as_str().unwrap().contains("ready"));
    let ask = format!("os.write(gate[1], json.dumps(\"connect('{host}', 9)\").encode() + b'\\n')");
    actor.run(&ask);
    assert!(actor.run(code).as_str().unwrap().contains("EPERM"));
    node.refusal(Cause::NoProcess);
    actor.run("os.kill(pid, 9)\nos.waitpid(pid, 0)");
}

#[test]
fn a_handover_beyond_the_share_leaves_the_broker_without_a_tag() {
    let mut node = Node::start();
    let to = Family::V4.to(Family::V4.imaginary(), 443);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    let accepted = node.broker.tcp4.accept();
    assert!(accepted.tag().is_some(), "within its share");

    let before = node.refusals(Cause::QuotaUsedUp);
    used(&mut node, |usage| usage.handovers = quota::HANDOVERS);
    actor.connect(&to).unwrap();
    refused(Cause::QuotaUsedUp, &mut node, before);
    let accepted = node.broker.tcp4.accept();
    let tag = accepted.tag();
    assert!(
        tag.is_none_or(|tag| tag.exec_id == 0),
        "whom it is from, the broker cannot know: {tag:?}"
    );
}

#[test]
fn what_has_ended_is_given_back() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let to = Family::V4.to(Family::V4.imaginary(), 443);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    let start = usage(&mut node);
    assert_eq!((start.processes, start.images), (1, 1));
    actor.run(
        "for _ in range(50):
    pid = os.posix_spawn('/bin/true', ['true'], {})
    other = os.fork()
    if other == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    os.waitpid(other, 0)",
    );
    for _ in 0..3 {
        actor.connect(&to).unwrap();
        drop(node.broker.tcp4.accept());
        actor.run("s.close()");
    }
    until("everything is given back", || {
        let now = usage(&mut node);
        let is_back = (now.processes, now.images, now.handovers) == (1, 1, 0);
        is_back.then_some(())
    });
    actor.end();
    until("all of it", || {
        let now = usage(&mut node);
        ((now.processes, now.images) == (0, 0)).then_some(())
    });
}
