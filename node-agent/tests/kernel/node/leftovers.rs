//! What a test must not leave behind, however it ends.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

use lanyard_node_agent::{
    kernel::{Kernel, Pins},
    scope::cgroup::Cgroup,
};

use crate::kernel::wait::within_limit;

/// What the names of all pins begin with that tests made in this namespace of processes; the number of the
/// process that made them follows.
fn prefix() -> String {
    let namespace = fs::metadata("/proc/self/ns/pid").expect("look at the namespace of processes");
    format!("kernel-test-{}-", namespace.ino())
}

/// A number that no other test of this process has.
pub(super) fn number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Pins and a cgroup of a test's own, removed with it.
pub(super) struct Leftovers {
    pub(super) name: String,
    pub(super) cgroup: Cgroup,
}

impl Leftovers {
    pub(super) fn of(number: u32) -> Self {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        Self::named(format!("{}{}-{number}", prefix(), process::id()))
    }

    fn named(name: String) -> Self {
        let cgroup = Cgroup::make(&attach_root().join(format!("lanyard-{name}")));
        Self {
            name,
            cgroup: cgroup.expect("make a cgroup"),
        }
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        // First enforcement, then those it was for; each step whether or not the one before it worked.
        if let Err(error) = Kernel::pins(&self.name).remove() {
            eprintln!("{error}");
        }
        if let Err(error) = self.cgroup.kill() {
            eprintln!("{error}");
        }
        within_limit(|| (!self.cgroup.is_populated()).then_some(()));
        if let Err(error) = self.cgroup.remove() {
            eprintln!("{error}");
        }
    }
}

/// Removes what tests left whose process was killed.
fn sweep() {
    let prefix = prefix();
    let pins = fs::read_dir(Path::new(Pins::BPF).join("lanyard"));
    for entry in pins.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix(&prefix)
            .and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            drop(Leftovers::named(name));
        }
    }
}

/// The root of the cgroup v2 hierarchy.
pub(crate) fn attach_root() -> PathBuf {
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    let found = roots
        .into_iter()
        .find(|root| root.join("cgroup.procs").exists());
    found.expect("a cgroup v2 hierarchy")
}
