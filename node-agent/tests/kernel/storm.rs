//! Many executions, forks, threads and ends at once: nothing is lost, nothing is left.

use lanyard_node_agent_abi::{cause::lost, event::exec, process::level};

use super::{actor::Actor, destination::Family, node::Node, wait::until};

/// How many processes start and end, by each of the actors.
const EACH: usize = 400;

/// Every third child executes; every one has threads that end at the same moment as it.
const STORM: &str = "
def live(number):
    gate = threading.Event()
    for _ in range(3):
        threading.Thread(target=gate.wait, daemon=True).start()
    if number % 3 == 0:
        os.execv('/bin/true', ['true'])
    if number % 3 == 1:
        threading.Thread(target=os.execv, args=('/bin/true', ['true'])).start()
        time.sleep(20)
    os._exit(0)

for first in range(0, EACH, 20):
    pids = []
    for number in range(first, first + 20):
        pid = os.fork()
        if pid == 0:
            live(number)
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
";

#[test]
fn nothing_is_lost_and_nothing_is_left() {
    let mut node = Node::start();
    let mut actors: Vec<Actor> = (0..3).map(|_| node.attested(level::IMAGE)).collect();
    for actor in &mut actors {
        actor.run(&format!("EACH = {EACH}"));
        actor.begin(STORM);
    }
    for actor in &mut actors {
        actor.finish().unwrap();
    }
    // The parents ran the images of all those that ended, and run them still.
    for actor in &mut actors {
        assert!(node.maps().is_live(actor.exec_id).unwrap());
        assert!(node.maps().images().contains_key(&actor.exec_id));
        let to = Family::V4.to(Family::V4.real(), 9);
        assert_eq!(
            actor.connect(&to),
            Err("EPERM".into()),
            "and so it is attested, not held"
        );
    }
    assert_eq!(node.maps().processes().len(), actors.len());
    let executed_each =
        EACH / 3 + EACH / 3 + usize::from(!EACH.is_multiple_of(3)) + usize::from(EACH % 3 > 1);
    let events = node.other_execs();
    let count = |kind| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!(count(exec::EXECUTED), executed_each * actors.len());
    assert_eq!(count(exec::ENDED), executed_each * actors.len());
    let mut ids: Vec<u64> = events
        .iter()
        .filter(|event| event.kind == exec::EXECUTED)
        .map(|event| event.exec_id)
        .collect();
    ids.extend(actors.iter().map(|actor| actor.exec_id));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(
        ids.len(),
        (executed_each + 1) * actors.len(),
        "each has a number of its own"
    );

    let last: Vec<u64> = actors.iter().map(|actor| actor.exec_id).collect();
    actors.into_iter().for_each(Actor::end);
    for exec_id in &last {
        node.ended(*exec_id);
    }
    until("no process is known", || {
        node.maps().processes().is_empty().then_some(())
    });
    assert!(node.maps().images().is_empty());
    assert!(
        ids.iter()
            .all(|exec_id| !node.maps().is_live(*exec_id).unwrap())
    );
    assert_eq!(
        node.maps().counters().unwrap()["LostExecs"],
        0,
        "ring {}",
        lost::EXECS
    );
}
