//! A process that another traces: whoever holds its registers decides what it does.

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::carrier,
    process::{ScopeSettings, flags, level, marks},
};

use super::{
    actor::Actor,
    destination::{Destination, Family},
    node::Node,
    peer::Peer,
};

/// `ptrace(2)` requests, by their numbers in sys/ptrace.h.
const TRACER: &str = "
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
SEIZE, DETACH, INTERRUPT = 0x4206, 17, 0x4207
def ptrace(request, pid):
    if libc.ptrace(request, pid, None, None):
        raise OSError(ctypes.get_errno(), 'ptrace')
def let_go(pid):
    ptrace(INTERRUPT, pid)
    os.waitpid(pid, 0x40000000)
    ptrace(DETACH, pid)
";
/// A child that is traced by its parent, and executes the actor.
const TRACED_CHILD: &str = "
import ctypes
pid = os.fork()
if pid == 0:
    ctypes.CDLL(None).ptrace(0, 0, None, None)
    os.execv('/bin/sleep', ['sleep', '60'])
os.waitpid(pid, 0)
";

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

fn allow_debugging(node: &mut Node) {
    let scope = node.scope;
    let settings = ScopeSettings {
        marks: marks::DEBUG,
        ..node.broker.ports()
    };
    node.maps().set_settings(scope, settings).unwrap();
}

fn tracer(node: &Node, of: &Actor) -> Actor {
    let mut tracer = node.outside();
    tracer.run(TRACER);
    tracer.run(&format!("ptrace(SEIZE, {})", of.pid));
    tracer
}

fn is_traced(node: &mut Node, actor: &Actor) -> bool {
    let process = node.maps().process(actor.pid).unwrap();
    process.flags & flags::TRACED != 0
}

#[test]
fn a_process_reaches_nothing_while_it_is_traced_nor_afterwards() {
    let mut node = Node::start();
    let (peer, to) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    node.grant(level::SCOPE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    peer.accept();

    let mut tracer = tracer(&node, &actor);
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
    node.refusal(Cause::Traced);
    tracer.run(&format!("let_go({})", actor.pid));
    assert_eq!(
        actor.connect(&to),
        Err("EPERM".into()),
        "what the tracer changed is still changed"
    );
    node.refusal(Cause::Traced);
    assert!(peer.has_nobody());

    actor.execute_again();
    actor.exec_id = node.executed(actor.pid).exec_id;
    let principal = node.principal;
    node.attest(&actor, principal, level::IMAGE);
    assert!(!is_traced(&mut node, &actor));
    actor.connect(&to).unwrap();
    peer.accept();
}

#[test]
fn where_debugging_is_allowed_a_traced_process_is_some_process_of_its_scope() {
    let mut node = Node::start();
    allow_debugging(&mut node);
    let (peer, strong) = host();
    let (other, weak) = host();
    node.grant(level::IMAGE, &strong, carrier::DIRECT);
    node.grant(level::SCOPE, &weak, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&strong).unwrap();
    peer.accept();

    let _tracer = tracer(&node, &actor);
    assert_eq!(actor.connect(&strong), Err("EPERM".into()));
    node.refusal(Cause::EvidenceTooLow);
    actor.connect(&weak).unwrap();
    other.accept();
    assert!(peer.has_nobody());
}

#[test]
fn what_is_executed_under_a_tracer_is_refused_at_once() {
    for debugging in [false, true] {
        let mut node = Node::start();
        if debugging {
            allow_debugging(&mut node);
        }
        let mut actor = node.attested(level::IMAGE);
        actor.run(TRACED_CHILD);
        let child = u32::try_from(actor.run("pid").as_u64().unwrap()).unwrap();
        let event = node.executed(child);
        assert_eq!(event.flags & flags::TRACED, flags::TRACED);
        let image = node.maps().image(event.exec_id).unwrap();
        let expected = if debugging {
            (node.scope, level::SCOPE, 0)
        } else {
            (0, level::NONE, 1)
        };
        assert_eq!((image.principal, image.level, image.settled), expected);
        actor.run("os.kill(pid, 9)\nos.waitpid(pid, 0)");
    }
}
