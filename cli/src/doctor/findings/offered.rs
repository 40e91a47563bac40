//! What the kernel and the machine offer.

use super::{Finding, State};
use crate::{
    confine::landlock_gaps,
    doctor::facts::{Facts, Kernel, Limits, NodeAgent},
};

/// A wall clock before this is wrong: it is older than this program (2026-11-01).
const EARLIEST: i64 = 1_793_491_200;

/// What brokers lock for secrets.
const LOCKED: u64 = 1 << 20;

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![
        kernel(&facts.kernel),
        types(&facts.kernel),
        hooks(&facts.kernel),
        cgroups(&facts.kernel),
        pins(&facts.kernel),
        lockdown(&facts.kernel),
        seccomp(&facts.kernel),
    ];
    all.extend(landlock(&facts.kernel));
    all.extend([
        unix(&facts.kernel),
        destroying(&facts.kernel),
        memory(&facts.limits),
        swap(&facts.limits),
        clock(&facts.limits),
        node_agent(&facts.node_agent),
    ]);
    all
}

fn kernel(kernel: &Kernel) -> Finding {
    let says = format!("Linux {} on {}", kernel.release, kernel.architecture);
    Finding::new("kernel", State::Good, says)
}

fn types(kernel: &Kernel) -> Finding {
    let about = "kernel types";
    if kernel.has_types {
        return Finding::new(about, State::Good, "/sys/kernel/btf/vmlinux is there");
    }
    let says = "/sys/kernel/btf/vmlinux is not there, and the programs find nothing without it";
    Finding::new(about, State::Missing, says).todo("use a kernel with CONFIG_DEBUG_INFO_BTF=y")
}

fn hooks(kernel: &Kernel) -> Finding {
    let about = "hooks and helpers";
    if !kernel.has_types {
        return Finding::new(about, State::Unknown, "the kernel's types would name them");
    }
    if kernel.lacking.is_empty() {
        return Finding::new(about, State::Good, "all that the programs need");
    }
    let says = format!("the kernel has no {}", kernel.lacking.join(", "));
    Finding::new(about, State::Missing, says).todo("use a kernel of 6.1 or later with CGROUP_BPF")
}

fn cgroups(kernel: &Kernel) -> Finding {
    match &kernel.cgroup2 {
        Some(path) => {
            let says = format!("mounted at {}", path.display());
            Finding::new("cgroup v2", State::Good, says)
        }
        None => Finding::new("cgroup v2", State::Missing, "it is mounted nowhere").todo(
            "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
        ),
    }
}

fn pins(kernel: &Kernel) -> Finding {
    let about = "BPF file system";
    if kernel.has_bpf_filesystem {
        return Finding::new(about, State::Good, "mounted at /sys/fs/bpf");
    }
    Finding::new(about, State::Missing, "it is not mounted at /sys/fs/bpf")
        .todo("mount -t bpf bpf /sys/fs/bpf")
}

/// Confidentiality forbids programs to read the kernel's memory, which is how they read a task.
fn lockdown(kernel: &Kernel) -> Finding {
    match kernel.lockdown.as_deref() {
        Some("confidentiality") => {
            let says = "confidentiality: programs may not read the kernel's memory";
            Finding::new("lockdown", State::Missing, says)
                .todo("start the machine with lockdown=integrity")
        }
        Some(mode) => Finding::new("lockdown", State::Good, mode),
        None => Finding::new("lockdown", State::Good, "none"),
    }
}

fn seccomp(kernel: &Kernel) -> Finding {
    if kernel.has_seccomp {
        return Finding::new("seccomp", State::Good, "filters can be set");
    }
    let says = "it is not there, and `lanyard run` executes nothing without it";
    Finding::new("seccomp", State::Missing, says).todo("use a kernel with CONFIG_SECCOMP_FILTER=y")
}

fn landlock(kernel: &Kernel) -> Vec<Finding> {
    let about = "Landlock";
    let abi = kernel.landlock;
    let gaps = landlock_gaps(abi);
    let first = match abi {
        0 => Finding::new(about, State::Degraded, "it is not there or not switched on")
            .todo("add landlock to the kernel's lsm= list, or use a kernel of 5.13 or later"),
        _ => Finding::new(about, State::Good, format!("ABI {abi}")),
    };
    let open = gaps.iter().map(|gap| {
        let says = format!("not closed by ABI {abi}: {gap}");
        Finding::new(about, State::Degraded, says).todo("use a newer kernel")
    });
    [first].into_iter().chain(open).collect()
}

fn unix(kernel: &Kernel) -> Finding {
    let about = "unix socket hooks";
    if kernel.has_unix_hooks {
        return Finding::new(about, State::Good, "the kernel has them");
    }
    let says = "the kernel has none: services behind unix sockets can be asked to act";
    Finding::new(about, State::Degraded, says).todo("use a kernel of 6.7 or later")
}

fn destroying(kernel: &Kernel) -> Finding {
    let about = "sockets destroyed";
    match kernel.destroys_sockets {
        Some(true) => Finding::new(about, State::Good, "at the end of a grant"),
        Some(false) => {
            let says = "the kernel cannot: packets stop at the end of a grant, and the sockets end by time-out";
            Finding::new(about, State::Degraded, says)
                .todo("use a kernel with CONFIG_INET_DIAG_DESTROY=y")
        }
        None => Finding::new(about, State::Unknown, "only root can find out")
            .todo("ask again with sudo"),
    }
}

fn memory(limits: &Limits) -> Finding {
    let about = "locked memory";
    match limits.locked_memory {
        None => Finding::new(about, State::Good, "no limit"),
        Some(bytes) if bytes >= LOCKED => {
            Finding::new(about, State::Good, format!("{} KiB", bytes >> 10))
        }
        Some(bytes) => {
            let says = format!("{} KiB: secrets might be swapped", bytes >> 10);
            Finding::new(about, State::Degraded, says).todo("raise the limit: ulimit -l 8192")
        }
    }
}

fn swap(limits: &Limits) -> Finding {
    if !limits.swap_is_on {
        return Finding::new("swap", State::Good, "off");
    }
    let says = "on: what the agent itself holds may be written to it; what Lanyard holds is locked";
    Finding::new("swap", State::Good, says)
}

fn clock(limits: &Limits) -> Finding {
    let about = "wall clock";
    if limits.wall_clock < EARLIEST {
        let says = "it is behind the date of this program: grants that name a time last too long";
        return Finding::new(about, State::Degraded, says).todo("set it, and let NTP keep it");
    }
    if limits.clock_is_kept {
        return Finding::new(about, State::Good, "kept by NTP");
    }
    let says = "plausible; no sign of a service that keeps it right";
    Finding::new(about, State::Unknown, says).todo("let NTP keep it")
}

fn node_agent(node_agent: &NodeAgent) -> Finding {
    let about = "node agent";
    match node_agent {
        NodeAgent::Answers {
            node,
            version,
            problems: 0,
            ..
        } => Finding::new(about, State::Good, format!("{version} serves node {node}")),
        NodeAgent::Answers { problems, .. } => {
            let says = format!("{problems} manifests could not be read; what was good is kept");
            Finding::new(about, State::Degraded, says).todo("see lanyard status")
        }
        NodeAgent::Silent(why) => {
            Finding::new(about, State::Degraded, why.clone()).todo("see its log")
        }
        NodeAgent::Absent => {
            Finding::new(about, State::Unknown, "none runs").todo("start it: sudo lanyard up")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn limits_that_are_too_low_and_a_wrong_clock_are_told() {
        let mut facts = sample::machine();
        let state = |facts: &Facts, about| {
            let found = findings(facts);
            found.into_iter().find(|finding| finding.about == about)
        };
        for about in ["locked memory", "wall clock"] {
            assert_eq!(state(&facts, about).unwrap().state, State::Good);
        }
        facts.limits.locked_memory = Some(1024);
        facts.limits.wall_clock = 0;
        for about in ["locked memory", "wall clock"] {
            assert_eq!(state(&facts, about).unwrap().state, State::Degraded);
        }
    }

    #[test]
    fn a_node_agent_that_is_there_absent_or_troubled_is_told() {
        let answers = |problems| NodeAgent::Answers {
            node: "local".into(),
            version: "1".into(),
            problems,
            observes: false,
        };
        for (agent, state) in [
            (answers(0), State::Good),
            (answers(2), State::Degraded),
            (NodeAgent::Silent("no".into()), State::Degraded),
            (NodeAgent::Absent, State::Unknown),
        ] {
            assert_eq!(node_agent(&agent).state, state);
        }
    }
}
