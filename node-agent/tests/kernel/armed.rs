//! The file that a scope was made for, and what it makes of the processes after it.

use std::path::Path;

use aya::maps::{HashMap, Map, MapData};
use lanyard_node_agent::kernel::Kernel;
use lanyard_node_agent_abi::process::flags;

use super::{
    actor::{Actor, python},
    node::{Node, armed},
};

/// What is known of a process.
fn flags_of(node: &mut Node, actor: &Actor) -> u32 {
    let process = node.maps().process(actor.pid);
    without_confinement(process.expect("a known process").flags)
}

/// The processes of these tests are not confined, and the kernel says so.
fn without_confinement(marks: u32) -> u32 {
    marks & !flags::UNCONFINED
}

/// A child of the actor that executes a program, and what it was told of with.
fn child_flags(node: &mut Node, actor: &mut Actor) -> u32 {
    actor.run("pid = os.posix_spawn('/bin/true', ['true'], {})\nos.waitpid(pid, 0)");
    let pid = u32::try_from(actor.run("pid").as_u64().unwrap()).unwrap();
    without_confinement(node.executed(pid).flags)
}

#[test]
fn the_armed_file_makes_the_root_of_a_lineage() {
    let mut node = Node::start();
    let mut actor = node.enter_armed(python());
    assert_eq!(flags_of(&mut node, &actor), flags::ROOTED);
    assert_eq!(child_flags(&mut node, &mut actor), flags::ROOTED);
    actor.execute_again();
    let again = node.executed(actor.pid).flags;
    assert_eq!(without_confinement(again), flags::ROOTED);
    assert_eq!(child_flags(&mut node, &mut actor), flags::ROOTED);
}

#[test]
fn another_file_spoils_its_whole_lineage() {
    let mut node = Node::start();
    let mut actor = node.enter_armed(Path::new("/bin/true"));
    assert_eq!(flags_of(&mut node, &actor), flags::OTHER_FILE);
    assert_eq!(child_flags(&mut node, &mut actor), flags::OTHER_FILE);
    // Not even the right file mends it.
    node.maps().arm(actor.pid, armed(python())).unwrap();
    actor.execute_again();
    let spoilt = node.executed(actor.pid).flags;
    assert_eq!(spoilt & flags::OTHER_FILE, flags::OTHER_FILE);
}

#[test]
fn a_copy_of_the_armed_file_is_another_file() {
    let mut node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("python");
    std::fs::copy(python(), &copy).unwrap();
    let actor = node.enter_armed(&copy);
    assert_eq!(flags_of(&mut node, &actor), flags::OTHER_FILE);
}

#[test]
fn the_same_number_on_another_device_is_another_file() {
    let mut node = Node::start();
    let gate = node.gate();
    let mut file = armed(python());
    file.device += 1;
    node.maps().arm(gate.pid(), file).unwrap();
    let actor = node.pass(gate);
    assert_eq!(flags_of(&mut node, &actor), flags::OTHER_FILE);
}

#[test]
fn only_the_next_execution_is_compared() {
    let mut node = Node::start();
    let mut actor = node.enter_armed(python());
    actor.begin("os.execv('/bin/sleep', ['sleep', '60'])");
    let event = node.executed(actor.pid);
    assert_eq!(without_confinement(event.flags), flags::ROOTED);
    assert_eq!(event.parent, actor.exec_id);
}

#[test]
fn a_process_put_into_the_cgroup_without_a_file_is_of_no_lineage() {
    let mut node = Node::start();
    let mut root = node.enter_armed(python());
    let entered = node.enter_from_outside();
    assert_eq!(flags_of(&mut node, &entered), 0);
    let mut moved = node.moved_in();
    assert_eq!(node.maps().process(moved.pid), None);
    moved.execute_again();
    let event = node.executed(moved.pid);
    assert_eq!((event.flags, event.parent), (0, 0));
    assert_eq!(
        child_flags(&mut node, &mut root),
        flags::ROOTED,
        "beside them"
    );
}

#[test]
fn a_child_is_not_armed_with_its_parents_file() {
    let mut node = Node::start();
    let mut actor = node.moved_in();
    node.maps().arm(actor.pid, armed(python())).unwrap();
    assert_eq!(child_flags(&mut node, &mut actor), 0);
    actor.execute_again();
    let again = node.executed(actor.pid).flags;
    assert_eq!(without_confinement(again), flags::ROOTED);
}

#[test]
fn what_was_disarmed_is_not_compared() {
    let mut node = Node::start();
    let gate = node.gate();
    node.maps()
        .arm(gate.pid(), armed(Path::new("/bin/true")))
        .unwrap();
    node.maps().disarm(gate.pid()).unwrap();
    node.maps().disarm(gate.pid()).unwrap();
    let actor = node.pass(gate);
    assert_eq!(flags_of(&mut node, &actor), 0);
}

#[test]
fn a_demand_ends_with_the_process_it_was_made_of() {
    let mut node = Node::start();
    let actor = node.moved_in();
    let pid = actor.pid;
    node.maps().arm(pid, armed(python())).unwrap();
    let pinned = MapData::from_pin(Kernel::pins(node.name()).map("ARMED")).unwrap();
    let demands = HashMap::<_, u32, [u64; 2]>::try_from(Map::HashMap(pinned)).unwrap();
    assert!(demands.get(&pid, 0).is_ok());
    // Its number may be another process's next.
    actor.end();
    assert!(demands.get(&pid, 0).is_err());
}
