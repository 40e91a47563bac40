//! A scope is left by nobody, not even with root's help.

use std::fs;

use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level};
use serde_json::json;

use super::{
    actor::Actor,
    destination::{Destination, Family},
    node::{Node, attach_root},
    peer::Peer,
};

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

/// Root moves it to the root of all cgroups.
fn move_out(actor: &Actor) {
    fs::write(attach_root().join("cgroup.procs"), actor.pid.to_string()).unwrap();
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", actor.pid)).unwrap();
    assert!(cgroup.lines().any(|line| line == "0::/"), "{cgroup}");
}

#[test]
fn a_process_that_root_moved_out_of_its_cgroup_is_still_in_its_scope() {
    let mut node = Node::start();
    let (peer, to) = host();
    let (_other, elsewhere) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let (mut actor, mut outside) = (node.attested(level::IMAGE), node.outside());
    move_out(&actor);
    move_out(&outside);
    assert_eq!(actor.connect(&elsewhere), Err("EPERM".into()));
    assert_eq!(node.refusal(Cause::NoGrant).tgid, actor.pid);
    let raw = "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)";
    assert_eq!(actor.attempt(raw), Err("EPROTONOSUPPORT".into()));
    actor.connect(&to).unwrap();
    peer.accept();
    outside.connect(&elsewhere).unwrap();
}

#[test]
fn so_are_its_children_and_what_they_execute() {
    let mut node = Node::start();
    let (peer, to) = host();
    let mut actor = node.attested(level::IMAGE);
    move_out(&actor);
    let code = format!("connect({:?}, {}) and None", to.host(), to.port());
    assert_eq!(
        actor.attempt(&format!("child({code:?})")),
        Err("EPERM".into())
    );
    let event = node.refusal(Cause::NoGrant);
    assert_eq!((event.scope, event.exec_id), (node.scope, actor.exec_id));
    assert_ne!(event.tgid, actor.pid);

    let thread = format!(
        "came_to = []\nthread = threading.Thread(target=lambda: came_to.append(answer({code:?})))\nthread.start()\nthread.join()"
    );
    actor.run(&thread);
    assert_eq!(
        actor.run("json.loads(came_to[0])"),
        json!({"error": "EPERM"})
    );

    let executed = actor.run("pid = os.posix_spawn('/bin/true', ['true'], {})\nos.waitpid(pid, 0)");
    assert_eq!(executed, json!(null));
    let pid = u32::try_from(actor.run("pid").as_u64().unwrap()).unwrap();
    let event = node.executed(pid);
    assert_eq!((event.scope, event.parent), (node.scope, actor.exec_id));
    assert!(peer.has_nobody());
}

#[test]
fn a_process_that_moved_out_and_executes_itself_again_is_held() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    move_out(&actor);
    actor.execute_again();
    let to = Family::V4.to(Family::V4.imaginary(), 443);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    actor.connect(&to).unwrap();
    let tag = node.broker.tcp4.accept().tag().expect("a tag");
    assert_eq!((tag.carrier, tag.scope), (carrier::HOLD, node.scope));
}
