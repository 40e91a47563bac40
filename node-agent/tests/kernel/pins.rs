//! Programs and maps that outlive the node agent.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use lanyard_node_agent::kernel::{Kernel, KernelError, PinError};
use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level};
use serde_json::Value;

use super::{
    actor::python,
    destination::{Destination, Family},
    node::{Node, armed, attach_root},
    peer::Peer,
    wait::until,
};

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

/// The folder of a node's pins, and in it the marker that says all stands.
fn folder(node: &Node) -> (PathBuf, PathBuf) {
    let folder = Kernel::pins(node.name())
        .map("PROC")
        .parent()
        .unwrap()
        .to_owned();
    let marker = names(&folder)
        .into_iter()
        .find(|name| name.starts_with("object_"))
        .unwrap();
    let marker = folder.join(marker);
    (folder, marker)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn everything_is_enforced_when_the_node_agent_is_dead() {
    let mut node = Node::start();
    let (peer, to) = host();
    let (other, elsewhere) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    let root = node.gate();
    node.maps().arm(root.pid(), armed(python())).unwrap();
    let entered = node.gate();
    node.agent_dies();

    actor.connect(&to).unwrap();
    peer.accept();
    assert_eq!(actor.connect(&elsewhere), Err("EPERM".into()));
    let raw = "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)";
    assert_eq!(actor.attempt(raw), Err("EPROTONOSUPPORT".into()));
    // What starts now has nobody to attest it: it is held, and reaches nothing.
    let mut new = root.open();
    new.connect(&to).unwrap();
    let tag = node.broker.tcp4.accept().tag().expect("a tag");
    assert_eq!((tag.carrier, tag.tgid), (carrier::HOLD, new.pid));
    let mut entered = entered.open();
    assert_eq!(entered.connect(&to), Err("EPERM".into()));
    assert!(peer.has_nobody() && other.has_nobody());
}

#[test]
fn a_node_agent_that_comes_back_takes_over_what_is_there() {
    let mut node = Node::start();
    let (_peer, to) = host();
    let (_other, elsewhere) = host();
    let slot = node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    let (grants, scopes) = (node.maps().grants(), node.maps().scopes());
    let (processes, images) = (node.maps().processes(), node.maps().images());
    node.agent_dies();
    assert_eq!(actor.connect(&elsewhere), Err("EPERM".into()));

    assert!(node.agent_starts(), "nothing is loaded anew");
    assert_eq!(node.maps().grants(), grants);
    assert_eq!(node.maps().scopes(), scopes);
    assert_eq!(node.maps().processes(), processes);
    assert_eq!(node.maps().images(), images);
    assert_eq!(node.refusals(Cause::NoGrant), 1);
    assert_eq!(
        node.refusal(Cause::NoGrant).tgid,
        actor.pid,
        "told while nobody was there"
    );
    // The maps are those the programs decide by.
    actor.connect(&to).unwrap();
    node.end_at(slot, 0);
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
}

#[test]
fn a_start_that_was_cut_short_is_cleaned_up() {
    let mut node = Node::start();
    let (_peer, to) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let (folder, marker) = folder(&node);
    let all = names(&folder).len();
    node.agent_dies();
    fs::remove_dir(marker).unwrap();
    for half in ["link_connect4", "link_on_exec_g1", "map_LIVE"] {
        fs::remove_file(folder.join(half)).unwrap();
    }

    assert!(!node.agent_starts(), "half of it is not taken over");
    assert_eq!(names(&folder).len(), all);
    assert!(node.maps().grants().is_empty());
    let (id, scope, ports) = (node.cgroup.id(), node.scope, node.broker.ports());
    node.maps().enforce(id, scope, ports).unwrap();
    let mut actor = node.attested(level::IMAGE);
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
}

/// Makes what enforces look like another build's.
fn become_another_build(marker: &Path) -> PathBuf {
    let other = marker.with_file_name(format!("object_{}", "0".repeat(64)));
    fs::rename(marker, &other).unwrap();
    other
}

/// The programs of which two generations are attached while one takes the place of the other.
const TRACING: [&str; 5] = ["cgroup_made", "cgroup_removed", "exec", "exit", "fork"];

fn tracing_links(generation: u32) -> [String; 5] {
    TRACING.map(|name| format!("link_on_{name}_g{generation}"))
}

fn links(folder: &Path) -> Vec<String> {
    let mut links = names(folder);
    links.retain(|name| name.starts_with("link_on_"));
    links.sort();
    links
}

#[test]
fn programs_of_another_build_are_replaced_while_they_work() {
    const LOAD: &str = "import collections
ended = threading.Event()
seen = collections.Counter()
def load():
    while not ended.is_set():
        for name, port in (('granted', GRANTED), ('other', OTHER)):
            s = socket.socket()
            seen[name, s.connect_ex(('10.99.0.1', port))] += 1
            s.close()
threads = [threading.Thread(target=load) for _ in range(2)]
for thread in threads:
    thread.start()";
    const SERVE: &str = "listener = socket.create_server(('10.99.0.1', 0))
def serve():
    while True:
        listener.accept()[0].close()
threading.Thread(target=serve, daemon=True).start()";
    let mut node = Node::start();
    let mut server = node.outside();
    server.run(SERVE);
    let port = server.run("listener.getsockname()[1]").as_u64().unwrap();
    let port = u16::try_from(port).unwrap();
    let to = Family::V4.to(Family::V4.real(), port);
    let (_other, elsewhere) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    let mut busy = node.attested(level::IMAGE);
    let ports = LOAD
        .replace("GRANTED", &to.port().to_string())
        .replace("OTHER", &elsewhere.port().to_string());
    let (folder, marker) = folder(&node);
    assert_eq!(links(&folder), tracing_links(1));
    busy.run(&ports);
    for generation in 2..5 {
        node.agent_dies();
        let other = become_another_build(&marker);
        assert!(node.agent_starts(), "what was there is taken over");
        assert!(marker.exists() && !other.exists());
        let new = tracing_links(generation);
        assert_eq!(links(&folder), new);
    }
    busy.run("ended.set()\nfor thread in threads:\n    thread.join()");
    let seen = busy.run("sorted((name, error, count) for (name, error), count in seen.items())");
    let seen = seen.as_array().unwrap();
    let of = |name: &str, error: i64| -> u64 {
        let is_it = |entry: &&Value| entry[0] == name && entry[1] == error;
        seen.iter()
            .filter(is_it)
            .filter_map(|entry| entry[2].as_u64())
            .sum()
    };
    assert!(
        of("granted", 0) > 0 && of("other", 1) > 0,
        "no load: {seen:?}"
    );
    assert_eq!(seen.len(), 2, "a leak, or a wrong refusal: {seen:?}");
    // The new programs follow processes, each execution once, and the old ones none.
    actor.run("pid = os.posix_spawn('/bin/true', ['true'], {})\nos.waitpid(pid, 0)");
    let pid = u32::try_from(actor.run("pid").as_u64().unwrap()).unwrap();
    let event = node.executed(pid);
    node.ended(event.exec_id);
    assert!(node.other_execs().iter().all(|other| other.tgid != pid));
    let new = node.attested(level::IMAGE);
    assert_eq!(node.maps().process(new.pid).unwrap().exec_id, new.exec_id);
}

#[test]
fn a_replacement_that_was_cut_short_is_done_again() {
    let mut node = Node::start();
    let (_peer, to) = host();
    let mut actor = node.attested(level::IMAGE);
    let (folder, marker) = folder(&node);
    node.agent_dies();
    // Killed after it had made its own marker, and before it took away the other's.
    let other = marker.with_file_name(format!("object_{}", "0".repeat(64)));
    fs::create_dir(&other).unwrap();
    assert!(node.agent_starts());
    assert!(marker.exists() && !other.exists());
    // Killed before it handed over: its tracing programs are attached, and do not work.
    node.agent_dies();
    let other = become_another_build(&marker);
    for name in TRACING {
        let of = |generation: u32| folder.join(format!("link_on_{name}_g{generation}"));
        fs::rename(of(2), of(3)).unwrap();
    }
    assert!(node.agent_starts());
    assert!(marker.exists() && !other.exists());
    assert_eq!(links(&folder), tracing_links(3));
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut new = node.attested(level::IMAGE);
    new.connect(&to).unwrap();
}

#[test]
fn programs_with_other_maps_are_left_alone_and_named() {
    let mut node = Node::start();
    let (_peer, to) = host();
    let mut actor = node.attested(level::IMAGE);
    let (folder, _) = folder(&node);
    node.agent_dies();
    let old = folder.with_file_name("v1");
    fs::create_dir(&old).unwrap();
    fs::create_dir(old.join("object_old")).unwrap();
    let opened = Kernel::open(node.name(), &attach_root());
    let Err(KernelError::Pin(PinError::OtherVersion(named))) = opened else {
        panic!("it was taken over");
    };
    assert_eq!(named, "v1");
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
    fs::remove_dir(old.join("object_old")).unwrap();
    fs::remove_dir(old).unwrap();
    assert!(node.agent_starts());
}

#[test]
fn enforcement_ends_with_the_pins() {
    let mut node = Node::start();
    let (peer, to) = host();
    let mut actor = node.attested(level::IMAGE);
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
    let pins = Kernel::pins(node.name());
    assert!(pins.is_anything_there());
    pins.remove().unwrap();
    assert!(!pins.is_anything_there());
    // The kernel lets go of an unpinned link in its own time.
    until("nothing is enforced", || actor.connect(&to).ok());
    peer.accept();
    pins.remove().unwrap();
}

#[test]
fn only_root_enters_the_pins() {
    let node = Node::start();
    let (folder, _) = folder(&node);
    for folder in [folder.as_path(), folder.parent().unwrap()] {
        assert_eq!(
            fs::metadata(folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }
    let mut outside = node.outside();
    outside.run("os.setuid(65534)");
    let list = format!("os.listdir({:?})", folder.display().to_string());
    assert_eq!(outside.attempt(&list), Err("EACCES".into()));
}

#[test]
fn two_nodes_of_one_machine_do_not_meet() {
    let mut node = Node::start();
    let (peer, to) = host();
    let name = format!("{}-other", node.name());
    let other = Kernel::open(&name, &attach_root());
    let removed = Kernel::pins(&name);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let other = other.unwrap();
        assert!(!other.adopted);
        node.grant(level::IMAGE, &to, carrier::DIRECT);
        assert!(other.maps.grants().is_empty() && other.maps.scopes().is_empty());
        let mut actor = node.attested(level::IMAGE);
        assert_eq!(other.maps.process(actor.pid), None);
        actor.connect(&to).unwrap();
        peer.accept();
    }));
    removed.remove().unwrap();
    result.unwrap();
}

/// The folder of all nodes comes and goes with the first and the last of them, at any moment of another's start.
#[test]
fn nodes_of_one_machine_begin_and_end_beside_each_other() {
    let begin_and_end = |name: &str| {
        let pins = Kernel::pins(name);
        for _ in 0..2000 {
            pins.prepare().unwrap();
            let mode = fs::metadata(pins.map("PROC").parent().unwrap());
            assert_eq!(mode.unwrap().permissions().mode() & 0o777, 0o700);
            pins.remove().unwrap();
        }
        assert!(!pins.is_anything_there());
    };
    let name = |number: u32| format!("beside-{}-{number}", std::process::id());
    std::thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || begin_and_end(&name(number)));
        }
    });
}
