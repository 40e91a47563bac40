//! Pods: cgroups that somebody else makes are fenced from birth, and a container's first process alone is its root.

use std::{
    fs, io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use lanyard_node_agent::scope::cgroup::Cgroup;
use lanyard_node_agent_abi::{
    cause::Cause,
    grant::carrier,
    pod::{CGROUP_NAME, container},
    process::{flags, level},
};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    actor::{Actor, Gate},
    destination::{Destination, Family},
    node::{Node, attach_root},
    peer::Peer,
    wait::until,
};

/// The cgroups of a pod, which a container runtime makes below those of all pods.
struct Pod {
    name: String,
    cgroup: Cgroup,
}

impl Pod {
    /// A pod of the node's scope that the node agent expects before it is there.
    fn expected(node: &mut Node) -> Self {
        let name = format!("pod{}", node.name());
        let scope = node.scope;
        assert!(node.maps().expect_pod(&name, scope).unwrap());
        Self::made(name)
    }

    fn made(name: String) -> Self {
        let cgroup = Cgroup::make(&attach_root().join(&name)).unwrap();
        Self { name, cgroup }
    }

    fn path(&self) -> PathBuf {
        attach_root().join(&self.name)
    }

    fn container(&self, name: &str) -> Cgroup {
        Cgroup::make(&self.path().join(name)).unwrap()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // Each step whether or not the one before it worked.
        let _ = self.cgroup.kill();
        let removed = until_removed(&self.path());
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// Removes a cgroup with what is below it, once its processes are gone.
fn until_removed(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type()?.is_dir() {
            until_removed(&entry.path())?;
        }
    }
    until("a cgroup is empty", || fs::remove_dir(path).ok());
    Ok(())
}

fn id_of(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

/// What a runtime starts in a container's cgroup: its first process.
fn begin(node: &mut Node, cgroup: &Cgroup) -> Actor {
    let gate = Gate::start_runtime();
    cgroup.admit(gate.pid(), gate.pidfd().as_fd()).unwrap();
    let runtime = gate.pid();
    let mut actor = gate.open();
    actor.pid = child_of(runtime);
    actor.exec_id = node.executed(actor.pid).exec_id;
    actor
}

/// The only child of a process.
fn child_of(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.unwrap().trim().parse().unwrap()
}

/// What `kubectl exec` brings into a container.
fn enter(node: &mut Node, cgroup: &Cgroup) -> Actor {
    let gate = Gate::start();
    cgroup.admit(gate.pid(), gate.pidfd().as_fd()).unwrap();
    node.pass(gate)
}

fn is_root(node: &mut Node, actor: &Actor) -> bool {
    let process = node.maps().process(actor.pid).unwrap();
    process.flags & flags::ROOTED != 0
}

#[test]
fn a_containers_first_process_is_its_root_and_nothing_that_enters_it() {
    let mut node = Node::start();
    let (peer, to) = host();
    node.grant(level::SCOPE, &to, carrier::DIRECT);
    let pod = Pod::expected(&mut node);
    let agents = pod.container("agent");
    let mut first = begin(&mut node, &agents);
    assert!(is_root(&mut node, &first));
    let known = node.maps().process(first.pid).unwrap();
    assert_eq!(known.flags & flags::FIRST, flags::FIRST);
    first.run("if os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)");
    let forked = node.maps().process(child_of(first.pid)).unwrap();
    assert_eq!(forked.flags & (flags::ROOTED | flags::FIRST), flags::ROOTED);
    first.connect(&to).unwrap();
    peer.accept();
    let code = format!("connect({:?}, {}) and None", to.host(), to.port());
    first.run(&format!("child({code:?})"));
    peer.accept();
    let mut entered = enter(&mut node, &agents);
    assert!(!is_root(&mut node, &entered));
    assert_eq!(entered.connect(&to), Err("EPERM".into()));
    assert_eq!(node.refusal(Cause::ImageRefused).tgid, entered.pid);
    // Nor is it one as the first of a namespace of its own, for the container has begun.
    let mut nested = begin(&mut node, &agents);
    assert!(!is_root(&mut node, &nested));
    assert_eq!(nested.connect(&to), Err("EPERM".into()));
}

#[test]
fn each_container_of_a_pod_has_a_root_of_its_own() {
    let mut node = Node::start();
    let pod = Pod::expected(&mut node);
    for name in ["pause", "broker", "agent"] {
        let cgroup = pod.container(name);
        let actor = begin(&mut node, &cgroup);
        assert!(is_root(&mut node, &actor), "{name}");
        assert_eq!(
            node.maps().cgroup(cgroup.id()),
            Some((node.scope, container::BEGUN))
        );
    }
}

/// Not even the first thing that a container does gets through: there is no moment at which its cgroup is not marked.
#[test]
fn what_is_made_in_a_pod_is_fenced_from_birth_and_forgotten_when_it_is_gone() {
    let mut node = Node::start();
    let (_peer, to) = host();
    let scope = node.scope;
    let pod = Pod::expected(&mut node);
    let known = |node: &mut Node, id: u64| node.maps().cgroup(id);
    assert_eq!(
        known(&mut node, pod.cgroup.id()),
        Some((scope, container::POD))
    );
    let agents = pod.container("agent");
    assert_eq!(
        known(&mut node, agents.id()),
        Some((scope, container::FRESH))
    );
    // What a container makes below its own begins nothing.
    let below = pod.path().join("agent/below");
    fs::create_dir(&below).unwrap();
    let id = id_of(&below);
    assert_eq!(known(&mut node, id), Some((scope, container::BEGUN)));
    let mut nested = begin(&mut node, &Cgroup::make(&below).unwrap());
    assert!(!is_root(&mut node, &nested));
    assert_eq!(nested.connect(&to), Err("EPERM".into()));
    nested.end();
    until("a cgroup is empty", || fs::remove_dir(&below).ok());
    assert_eq!(known(&mut node, id), None);
    // A kubelet that finds the pod's cgroup gone makes it anew.
    let old = pod.cgroup.id();
    until_removed(&pod.path()).unwrap();
    assert_eq!(known(&mut node, old), None);
    let anew = Pod::made(pod.name.clone());
    assert_eq!(
        known(&mut node, anew.cgroup.id()),
        Some((scope, container::POD))
    );
    drop(anew);
    fs::create_dir(pod.path()).unwrap();
}

#[test]
fn cgroups_of_others_are_left_alone() {
    let mut node = Node::start();
    let (peer, to) = host();
    let pod = Pod::expected(&mut node);
    let other = Pod::made(format!("{}-other", pod.name));
    let agents = other.container("agent");
    assert_eq!(node.maps().cgroup(agents.id()), None);
    let mut free = node.outside();
    agents.admit(free.pid, free.pidfd().as_fd()).unwrap();
    free.connect(&to).unwrap();
    peer.accept();
    // Nor is a pod's name a pod in a part of the hierarchy that another user may write to.
    let delegated = attach_root().join(format!("{}-delegated", pod.name));
    fs::create_dir(&delegated).unwrap();
    let user = "65534";
    let chown = Command::new("chown").arg(user).arg(&delegated).status();
    assert!(chown.unwrap().success());
    let false_pod = delegated.join(&pod.name);
    let mut mkdir = Command::new("setpriv");
    mkdir.args(["--reuid", user, "--clear-groups", "mkdir"]);
    assert!(mkdir.arg(&false_pod).status().unwrap().success());
    let id = id_of(&false_pod);
    assert_eq!(node.maps().cgroup(id), None);
    until_removed(&delegated).unwrap();
    let too_long = "p".repeat(CGROUP_NAME);
    let scope = node.scope;
    assert!(!node.maps().expect_pod(&too_long, scope).unwrap());
}

/// Pods that were there before the node agent: marked by it, and their containers have begun.
#[test]
fn a_pod_that_was_there_before_is_fenced_and_has_no_root() {
    let mut node = Node::start();
    let (_peer, to) = host();
    let pod = Pod::made(format!("pod{}", node.name()));
    let agents = pod.container("agent");
    let mut before = node.outside();
    agents.admit(before.pid, before.pidfd().as_fd()).unwrap();
    let scope = node.scope;
    node.maps().expect_pod(&pod.name, scope).unwrap();
    for (id, kind) in [
        (pod.cgroup.id(), container::POD),
        (agents.id(), container::BEGUN),
    ] {
        node.maps().mark_cgroup(id, scope, kind).unwrap();
    }
    assert_eq!(before.connect(&to), Err("EPERM".into()));
    node.refusal(Cause::NoProcess);
    let later = begin(&mut node, &agents);
    assert!(!is_root(&mut node, &later));
    let fresh = pod.container("later");
    let fresh = begin(&mut node, &fresh);
    assert!(is_root(&mut node, &fresh));
}

#[test]
fn a_broker_is_in_its_pod_and_not_in_its_scope_while_it_runs_its_image() {
    let mut node = Node::start();
    let (peer, to) = host();
    let pod = Pod::expected(&mut node);
    let brokers = pod.container("broker");
    let mut broker = begin(&mut node, &brokers);
    assert_eq!(broker.connect(&to), Err("EPERM".into()));
    let (pid, image) = (broker.pid, broker.exec_id);
    node.maps().except_broker(pid, image).unwrap();
    broker.connect(&to).unwrap();
    peer.accept();
    let code = format!("connect({:?}, {}) and None", to.host(), to.port());
    assert_eq!(
        broker.attempt(&format!("child({code:?})")),
        Err("EPERM".into()),
        "what it forks"
    );
    let mut beside = enter(&mut node, &brokers);
    assert_eq!(beside.connect(&to), Err("EPERM".into()), "what enters it");
    broker.execute_again();
    assert_eq!(broker.connect(&to), Err("EPERM".into()), "another image");
    let again = node.executed(broker.pid).exec_id;
    node.maps().except_broker(pid, again).unwrap();
    broker.connect(&to).unwrap();
    peer.accept();
    // Whoever gets its number next is no broker.
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    until("the broker is gone", || {
        node.maps().process(pid).is_none().then_some(())
    });
    assert_eq!(node.maps().broker(pid), None);
}
