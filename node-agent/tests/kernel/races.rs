//! Numbers that are used again, and executions that happen at once.

use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level};

use super::{
    actor::Actor,
    destination::{Destination, Family},
    node::{Node, armed},
    peer::Peer,
    wait::until,
};

/// A child that has a certain number, and what it says of a connection. Another process may be quicker to take the
/// number, so that it is tried again.
const FORK_AS: &str = "
def fork_as(number, code):
    while True:
        with open('/proc/sys/kernel/ns_last_pid', 'w') as last:
            last.write(str(number - 1))
        ours, its = os.pipe()
        pid = os.fork()
        if pid == 0:
            if os.getpid() == number:
                os.write(its, answer(code).encode())
            os._exit(0)
        os.close(its)
        with os.fdopen(ours) as pipe:
            said = pipe.read()
        os.waitpid(pid, 0)
        if pid == number:
            return said
";
/// Four threads that execute at the same moment, and which of them wins is open.
const RACE: &str = "
def race():
    gate = threading.Barrier(4)
    def run(number):
        gate.wait()
        os.execv('/bin/sh', ['sh', '-c', f'exit {number}'])
    for number in range(3):
        threading.Thread(target=run, args=(number,)).start()
    run(3)

for _ in range(ROUNDS):
    pid = os.fork()
    if pid == 0:
        race()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in range(4)
";

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

fn fork_as(actor: &mut Actor, number: u32, to: &Destination) -> String {
    let code = format!("connect({:?}, {}) and None", to.host(), to.port());
    let answer = actor.run(&format!("fork_as({number}, {code:?})"));
    answer.as_str().unwrap().to_owned()
}

#[test]
fn a_number_that_is_used_again_brings_nothing_along() {
    const ROUNDS: usize = 50;
    let mut node = Node::start();
    let (peer, to) = host();
    let (other, elsewhere) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    let mut outside = node.outside();
    let mut moved_in = node.moved_in();
    for actor in [&mut actor, &mut outside, &mut moved_in] {
        actor.run(FORK_AS);
    }
    let number = actor.run("child('os.getpid()')").as_u64().unwrap();
    let number = u32::try_from(number).unwrap();
    for _ in 0..ROUNDS {
        assert!(fork_as(&mut actor, number, &to).contains("null"));
        peer.accept();
        assert!(fork_as(&mut outside, number, &elsewhere).contains("null"));
        other.accept();
        assert!(fork_as(&mut actor, number, &elsewhere).contains("EPERM"));
        // In the scope, and nothing is known of it: it is not what had that number before.
        assert!(fork_as(&mut moved_in, number, &to).contains("EPERM"));
    }
    assert!(peer.has_nobody() && other.has_nobody());
    assert_eq!(node.maps().process(number), None);
}

#[test]
fn a_demand_on_a_process_that_ended_is_not_one_on_the_next_of_its_number() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let gate = node.gate();
    let number = gate.pid();
    node.maps()
        .arm(number, armed("/bin/true".as_ref()))
        .unwrap();
    gate.end();
    actor.run(FORK_AS);
    let code = "os.posix_spawn('/bin/true', ['true'], {})";
    actor.run(&format!("fork_as({number}, {code:?})"));
    let (_peer, to) = host();
    assert!(fork_as(&mut actor, number, &to).contains("EPERM"));
    node.refusal(Cause::NoGrant);
}

#[test]
fn of_threads_that_execute_at_once_one_image_is_left() {
    const ROUNDS: usize = 100;
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    actor.run(&format!("ROUNDS = {ROUNDS}"));
    actor.run(RACE);
    until("all children are forgotten", || {
        (node.maps().processes().len() == 1).then_some(())
    });
    assert_eq!(node.maps().images().len(), 1, "no image without a process");
    let scope = node.scope;
    let usage = node.maps().usage(scope).unwrap();
    assert_eq!((usage.processes, usage.images), (1, 1));
}
