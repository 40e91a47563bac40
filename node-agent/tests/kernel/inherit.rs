//! What an execution inherits, decided in the kernel before anybody has looked at it.

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::carrier,
    process::{Image, Usage, children, level},
};

use super::{
    actor::Actor,
    destination::{Destination, Family},
    node::Node,
    peer::Peer,
    wait::until,
};

/// A child that executes the actor's own program, by so many programs one after the other, and connects.
const CHAIN: &str = "
gate, said = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    os.dup2(gate[0], 0)
    os.dup2(said[1], 1)
    os.execv('/bin/sh', ['sh', '-c', 'exec env -- \"$0\" \"$@\"'] + sys.orig_argv)
answers = os.fdopen(said[0])
def told():
    return answers.readline()
def ask(code):
    os.write(gate[1], json.dumps(code).encode() + b'\\n')
    return told()
assert 'ready' in told()
";

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

fn root(node: &mut Node, children: u8) -> Actor {
    let actor = node.enter_confined();
    let principal = node.principal;
    node.settle(&actor, principal, level::IMAGE, children);
    actor
}

fn image_of(node: &mut Node, actor: &mut Actor, expression: &str) -> Image {
    let pid = u32::try_from(actor.run(expression).as_u64().unwrap()).unwrap();
    let process = node.maps().process(pid).unwrap();
    node.maps().image(process.exec_id).unwrap()
}

fn connects(actor: &mut Actor, to: &Destination) -> String {
    let code = format!("connect({:?}, {}) and None", to.host(), to.port());
    let answer = actor.run(&format!("ask({code:?})"));
    answer.as_str().unwrap().to_owned()
}

#[test]
fn under_inherit_a_chain_of_executions_has_its_grants_at_once() {
    let mut node = Node::start();
    let (peer, to) = host();
    let (other, elsewhere) = host();
    node.grant(level::LINEAGE, &to, carrier::DIRECT);
    node.grant(level::IMAGE, &elsewhere, carrier::DIRECT);
    let mut actor = root(&mut node, children::INHERIT);
    actor.run(CHAIN);
    let image = image_of(&mut node, &mut actor, "pid");
    assert_eq!(
        (image.principal, image.level, image.children, image.settled),
        (node.principal, level::LINEAGE, children::INHERIT, 0)
    );
    assert!(connects(&mut actor, &to).contains("null"));
    peer.accept();
    // It may yet turn out to be a listed program: its connection waits for that.
    assert!(connects(&mut actor, &elsewhere).contains("null"));
    node.broker.tcp4.accept();
    assert!(other.has_nobody());
    actor.run("os.kill(pid, 9)\nos.waitpid(pid, 0)");
}

#[test]
fn without_inherit_an_execution_is_some_process_of_the_scope() {
    for rule in [children::NONE, children::LISTED] {
        let mut node = Node::start();
        let (peer, to) = host();
        let (weak_peer, weak) = host();
        node.grant(level::LINEAGE, &to, carrier::DIRECT);
        node.grant(level::SCOPE, &weak, carrier::DIRECT);
        let mut actor = root(&mut node, rule);
        actor.run(CHAIN);
        let image = image_of(&mut node, &mut actor, "pid");
        assert_eq!(
            (image.level, image.children),
            (level::SCOPE, children::NONE)
        );
        assert!(connects(&mut actor, &weak).contains("null"));
        weak_peer.accept();
        let held = connects(&mut actor, &to);
        assert!(held.contains("null"), "{held}");
        node.broker.tcp4.accept();
        assert!(peer.has_nobody(), "rule {rule}");
        actor.run("os.kill(pid, 9)\nos.waitpid(pid, 0)");
    }
}

#[test]
fn what_inherits_from_an_image_that_is_refused_later_is_refused_by_its_own_verdict() {
    let mut node = Node::start();
    let (peer, to) = host();
    node.grant(level::LINEAGE, &to, carrier::DIRECT);
    let mut actor = root(&mut node, children::INHERIT);
    actor.run(CHAIN);
    assert!(connects(&mut actor, &to).contains("null"));
    peer.accept();
    let pid = u32::try_from(actor.run("pid").as_u64().unwrap()).unwrap();
    let exec_id = node.maps().process(pid).unwrap().exec_id;
    let refused = Image {
        principal: 0,
        level: level::NONE,
        children: children::NONE,
        settled: 1,
        reserved: 0,
    };
    assert!(node.maps().attest(exec_id, refused).unwrap());
    assert!(connects(&mut actor, &to).contains("EPERM"));
    node.refusal(Cause::ImageRefused);
    actor.run("os.kill(pid, 9)\nos.waitpid(pid, 0)");
}

#[test]
fn a_tree_that_has_ended_leaves_nothing() {
    let mut node = Node::start();
    let mut actor = root(&mut node, children::INHERIT);
    actor.run(
        "for _ in range(30):
    script = 'for n in 1 2 3; do (exec /bin/true) & done; wait; exec env sh -c true'
    pid = os.posix_spawn('/bin/sh', ['sh', '-c', script], {'PATH': '/bin:/usr/bin'})
    assert os.waitpid(pid, 0)[1] == 0",
    );
    let exec_id = actor.exec_id;
    until("the tree is gone", || {
        (node.maps().images().len() == 1).then_some(())
    });
    actor.end();
    node.ended(exec_id);
    assert!(node.maps().processes().is_empty());
    assert!(node.maps().images().is_empty());
    let scope = node.scope;
    let Usage {
        processes,
        images,
        handovers,
        ..
    } = node.maps().usage(scope).unwrap();
    assert_eq!((processes, images, handovers), (0, 0, 0));
}
