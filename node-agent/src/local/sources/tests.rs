use std::{collections::BTreeSet, fs};

use super::{
    super::{lives::FakeNode, stored::sample},
    *,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A state folder, and a folder of manifests.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("manifests")).unwrap();
        Self { folder }
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("manifests/a.yaml"), text).unwrap();
    }

    /// A node agent that starts here.
    fn start(&self) -> (Sources, FakeNode, bool) {
        let path = self.folder.path();
        let place = Place {
            node: "n".into(),
            attach_root: path.to_owned(),
            cgroup: path.to_owned(),
            kubelet_root: PathBuf::new(),
            run: path.to_owned(),
            state: path.join("state"),
        };
        let writers: BTreeSet<u32> = [0, rustix::process::geteuid().as_raw()].into();
        let files = Manifests::new(vec![path.join("manifests")], writers);
        let mut sources = Sources::open(files, &place).unwrap();
        let mut node = FakeNode::default();
        let (is_anything, problems) = sources.begin(&mut node, NOW);
        node.set_problems(problems);
        (sources, node, is_anything)
    }
}

fn in_force(node: &FakeNode) -> Vec<String> {
    let set = node.objects().unwrap();
    set.objects()
        .map(|object| object.key.name.to_string())
        .collect()
}

fn applied(text: &str) -> Vec<Change> {
    let objects = sample::objects(text).into_iter();
    objects
        .map(|object| ((object.kind(), object.key.clone()), Some(object)))
        .collect()
}

#[test]
fn files_and_what_was_applied_are_in_force_together_also_after_a_restart() {
    let machine = Machine::new();
    machine.write(&sample::grant("filed", "a.example"));
    let (mut sources, mut node, _) = machine.start();
    let change = applied(&sample::grant("given", "b.example"));
    sources.change(&mut node, change, NOW).unwrap();
    assert_eq!(in_force(&node), ["filed", "given"]);
    let (_, node, _) = machine.start();
    assert_eq!(in_force(&node), ["filed", "given"]);
    assert!(node.problems.is_empty());
}

#[test]
fn a_start_with_broken_files_goes_on_with_what_they_last_said_and_says_so() {
    let machine = Machine::new();
    machine.write(&sample::grant("filed", "a.example"));
    drop(machine.start());
    machine.write("kind: Nothing");
    let (mut sources, mut node, is_anything) = machine.start();
    assert!(is_anything);
    assert_eq!(in_force(&node), ["filed"]);
    assert!(
        node.problems[0].contains("a.yaml:1:"),
        "{:?}",
        node.problems
    );
    machine.write(&sample::grant("mended", "a.example"));
    sources.look(&mut node, NOW).unwrap().unwrap();
    assert_eq!(in_force(&node), ["mended"]);
    assert!(node.problems.is_empty());
}

#[test]
fn a_first_start_with_broken_files_has_nothing_to_go_on_with() {
    let machine = Machine::new();
    machine.write("kind: Nothing");
    let (mut sources, mut node, is_anything) = machine.start();
    assert!(!is_anything);
    assert!(in_force(&node).is_empty());
    let change = applied(&sample::grant("given", "b.example"));
    sources.change(&mut node, change, NOW).unwrap();
    let (_, node, is_anything) = machine.start();
    assert!(is_anything, "what was applied is something");
    assert_eq!(in_force(&node), ["given"]);
}

#[test]
fn a_broken_file_keeps_the_last_good_state_while_it_runs() {
    let machine = Machine::new();
    machine.write(&sample::grant("filed", "a.example"));
    let (mut sources, mut node, _) = machine.start();
    assert!(sources.look(&mut node, NOW).is_none(), "nothing changed");
    machine.write("]");
    assert!(sources.look(&mut node, NOW).unwrap().is_err());
    assert_eq!(in_force(&node), ["filed"]);
    assert!(!node.problems.is_empty());
}

#[test]
fn a_file_that_writes_what_was_applied_waits_until_that_is_deleted() {
    let machine = Machine::new();
    let (mut sources, mut node, _) = machine.start();
    let change = applied(&sample::grant("same", "a.example"));
    sources.change(&mut node, change.clone(), NOW).unwrap();
    machine.write(&sample::grant("same", "a.example"));
    let problems = sources.look(&mut node, NOW).unwrap().unwrap_err();
    assert!(problems[0].contains("written twice"), "{problems:?}");
    let name = change[0].0.clone();
    sources
        .change(&mut node, vec![(name.clone(), None)], NOW)
        .unwrap();
    assert!(in_force(&node).is_empty());
    sources.look(&mut node, NOW).unwrap().unwrap();
    assert_eq!(in_force(&node), ["same"]);
    assert!(sources.file_of(name.0, &name.1).is_some());
}

#[test]
fn an_application_obeys_the_rules_of_an_update_and_changes_nothing_when_it_does_not() {
    let machine = Machine::new();
    let (mut sources, mut node, _) = machine.start();
    let change = applied(&sample::grant("fixed", "a.example"));
    sources.change(&mut node, change, NOW).unwrap();
    let other = sample::grant("fixed", "b.example") + &sample::grant("new", "c.example");
    let refused = sources.change(&mut node, applied(&other), NOW).unwrap_err();
    assert!(matches!(refused, ChangeError::Rules(_)), "{refused}");
    assert_eq!(in_force(&node), ["fixed"]);
    let (_, node, _) = machine.start();
    assert_eq!(in_force(&node), ["fixed"]);
}
