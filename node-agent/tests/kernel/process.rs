//! Executions, forks and ends, one by one.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt};

use lanyard_node_agent_abi::process::{Image, level};

use super::{
    actor::{Actor, python},
    node::{Node, kernel_device, now},
    wait::until,
};

fn number(actor: &mut Actor, code: &str) -> u32 {
    u32::try_from(actor.run(code).as_u64().unwrap()).unwrap()
}

fn exec_id_of(node: &mut Node, tgid: u32) -> Option<u64> {
    node.maps().process(tgid).map(|process| process.exec_id)
}

#[test]
fn an_execution_is_told_of_with_the_file_that_the_kernel_opened() {
    let mut node = Node::start();
    let before = now();
    let mut actor = node.gate().open();
    let event = node.executed(actor.pid);
    let file = fs::metadata(python()).unwrap();
    assert_eq!(
        (event.inode, event.size, event.links),
        (file.ino(), file.len(), 1)
    );
    assert_eq!(event.device, kernel_device(file.dev()));
    assert_eq!(event.changed.cast_signed(), file.ctime());
    assert_eq!(i64::from(event.changed_nanos), file.ctime_nsec());
    assert_eq!((event.scope, event.parent, event.flags), (node.scope, 0, 0));
    assert!(event.at > before && event.at < now());
    assert_ne!(event.exec_id, 0);
    assert_eq!(name(&event.name), python().to_str().unwrap());
    actor.run("1");
}

fn name(bytes: &[u8]) -> &str {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .expect("a final NUL");
    assert!(
        bytes[end..].iter().all(|byte| *byte == 0),
        "rests of something else"
    );
    std::str::from_utf8(&bytes[..end]).unwrap()
}

#[test]
fn a_script_is_told_of_by_its_own_path_with_its_interpreters_file() {
    let mut node = Node::start();
    let mut actor = node.enter();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    let path = script.to_str().unwrap().to_owned();
    actor.run(&format!(
        "os.chmod({path:?}, 0o755)\npid = os.posix_spawn({path:?}, ['script'], {{}})\nos.waitpid(pid, 0)"
    ));
    let pid = number(&mut actor, "pid");
    let event = node.executed(pid);
    assert_eq!(name(&event.name), path);
    assert_eq!(event.inode, fs::metadata("/bin/sh").unwrap().ino());
}

#[test]
fn a_deleted_file_is_told_of_as_one_without_names() {
    let mut node = Node::start();
    let mut actor = node.enter();
    let code = "fd = os.memfd_create('program', 0)
os.write(fd, open('/bin/sleep', 'rb').read())
pid = os.fork()
if pid == 0:
    os.execve(fd, ['sleep', '0'], {})
os.waitpid(pid, 0)";
    actor.run(code);
    let pid = number(&mut actor, "pid");
    let event = node.executed(pid);
    assert_eq!(event.links, 0);
    assert_eq!(event.size, fs::metadata("/bin/sleep").unwrap().len());
}

#[test]
fn a_long_path_is_cut_and_ends_with_a_nul() {
    let mut node = Node::start();
    let mut actor = node.enter();
    let path = format!("/{}bin/true", "./".repeat(200));
    actor.run(&format!(
        "pid = os.posix_spawn({path:?}, ['true'], {{}})\nos.waitpid(pid, 0)"
    ));
    let pid = number(&mut actor, "pid");
    let event = node.executed(pid);
    assert_eq!(name(&event.name), &path[..255]);
}

#[test]
fn a_fork_runs_its_parents_image_and_an_execution_a_new_one() {
    let mut node = Node::start();
    let mut actor = node.enter();
    let code = "gate = os.pipe()
pid = os.fork()
if pid == 0:
    os.read(gate[0], 1)
    os.execv('/bin/sleep', ['sleep', '60'])";
    actor.run(code);
    let child = number(&mut actor, "pid");
    assert_eq!(exec_id_of(&mut node, child), Some(actor.exec_id));
    actor.run("os.write(gate[1], b'x')");
    let event = node.executed(child);
    assert_eq!((event.parent, event.scope), (actor.exec_id, node.scope));
    assert_ne!(event.exec_id, actor.exec_id);
    assert_eq!(exec_id_of(&mut node, child), Some(event.exec_id));
    assert_eq!(exec_id_of(&mut node, actor.pid), Some(actor.exec_id));
    actor.run("os.kill(pid, 9)\nos.waitpid(pid, 0)");
    node.ended(event.exec_id);
    assert_eq!(exec_id_of(&mut node, child), None);
    assert!(node.maps().is_live(actor.exec_id).unwrap());
}

#[test]
fn an_image_lives_as_long_as_any_process_of_it() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let first = actor.exec_id;
    actor.run("pid = os.fork()\nif pid == 0:\n    time.sleep(60)");
    let child = number(&mut actor, "pid");
    // The parent goes on to another image; its fork still runs the first.
    actor.execute_again();
    let event = node.executed(actor.pid);
    assert_eq!(event.parent, first);
    assert!(node.maps().is_live(first).unwrap());
    // Numbers of two processors are in no order.
    assert_eq!(
        node.maps().images().into_keys().collect::<BTreeSet<_>>(),
        BTreeSet::from([first, event.exec_id])
    );
    actor.run(&format!("os.kill({child}, 9)\nos.waitpid({child}, 0)"));
    node.ended(first);
    assert!(!node.maps().is_live(first).unwrap());
    assert_eq!(
        node.maps().images().keys().copied().collect::<Vec<_>>(),
        [event.exec_id],
        "its identity ended with it"
    );
    actor.end();
    node.ended(event.exec_id);
    assert!(node.maps().processes().is_empty());
}

#[test]
fn a_thread_that_executes_takes_its_whole_process_along() {
    let mut node = Node::start();
    let mut actor = node.enter();
    let code = "for _ in range(3):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
threading.Thread(target=os.execv, args=('/bin/sleep', ['sleep', '60'])).start()
time.sleep(60)";
    actor.begin(code);
    let event = node.executed(actor.pid);
    assert_eq!((event.parent, event.scope), (actor.exec_id, node.scope));
    node.ended(actor.exec_id);
    assert_eq!(exec_id_of(&mut node, actor.pid), Some(event.exec_id));
    assert_eq!(node.maps().processes().len(), 1, "threads are no processes");
    actor.end();
    node.ended(event.exec_id);
    assert!(node.maps().processes().is_empty());
}

#[test]
fn a_process_whose_first_thread_ended_lives_on() {
    let mut node = Node::start();
    let mut actor = node.enter();
    let code = "import ctypes
pid = os.fork()
if pid == 0:
    threading.Thread(target=time.sleep, args=(60,)).start()
    ctypes.CDLL(None).syscall(60, 0)";
    actor.run(code);
    let child = number(&mut actor, "pid");
    until("the first thread is gone", || {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        stat.contains(") Z ").then_some(())
    });
    assert_eq!(exec_id_of(&mut node, child), Some(actor.exec_id));
    actor.run("os.kill(pid, 9)\nos.waitpid(pid, 0)");
    assert_eq!(exec_id_of(&mut node, child), None);
    assert!(node.maps().is_live(actor.exec_id).unwrap());
}

#[test]
fn a_process_outside_any_scope_leaves_no_trace() {
    let mut node = Node::start();
    let mut outside = node.outside();
    outside.run("os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)");
    outside.run("child('1')");
    outside.execute_again();
    assert_eq!(node.other_execs(), []);
    // What comes after it in the ring is the first there is.
    let actor = node.enter();
    assert_eq!(node.other_execs(), []);
    assert_eq!(
        node.maps().processes().into_keys().collect::<Vec<_>>(),
        [actor.pid]
    );
    let exec_id = outside.exec_id;
    outside.end();
    assert!(!node.maps().is_live(exec_id).unwrap());
    assert_eq!(node.other_execs(), []);
}

#[test]
fn an_image_is_attested_for_every_fork_of_it() {
    let mut node = Node::start();
    let mut actor = node.enter();
    actor.run("pid = os.fork()\nif pid == 0:\n    time.sleep(60)");
    let principal = node.principal;
    node.attest(&actor, principal, level::IMAGE);
    let child = number(&mut actor, "pid");
    let exec_id = exec_id_of(&mut node, child).unwrap();
    let expected = Image {
        principal,
        level: level::IMAGE,
        children: 0,
        settled: 1,
        reserved: 0,
    };
    assert_eq!(node.maps().images().get(&exec_id), Some(&expected));
    node.maps().forget_image(exec_id).unwrap();
    assert!(node.maps().images().is_empty());
    actor.run("os.kill(pid, 9)\nos.waitpid(pid, 0)");
}
