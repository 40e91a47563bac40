//! The capabilities of root that reach into the kernel or past Landlock are given up.

use rustix::{
    io::{self, Errno},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    },
};

/// What root keeps: files, users and low ports. Block devices (`MKNOD`), kernel memory
/// (`SYS_RAWIO`), mounts (`SYS_ADMIN`), interfaces (`NET_ADMIN`) and all others go: no path and no
/// socket family stands for them, so neither Landlock nor the filter would.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::IPC_LOCK);

/// Gives up all but [`KEPT`]. With `no_new_privs` an execution brings none back.
pub(crate) fn give_up() -> io::Result<()> {
    match clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error),
    }
    let now = capabilities(None)?;
    set_capabilities(None, kept(&now))
}

fn kept(now: &CapabilitySets) -> CapabilitySets {
    CapabilitySets {
        effective: now.effective & KEPT,
        permitted: now.permitted & KEPT,
        inheritable: now.inheritable & KEPT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_the_kernel_goes_and_nothing_is_gained() {
        let all = CapabilitySets {
            effective: CapabilitySet::all(),
            permitted: CapabilitySet::all(),
            inheritable: CapabilitySet::empty(),
        };
        let left = kept(&all);
        assert_eq!(left.permitted, KEPT);
        assert!(left.inheritable.is_empty());
        for gone in [
            CapabilitySet::SYS_ADMIN,
            CapabilitySet::SYS_PTRACE,
            CapabilitySet::SYS_RAWIO,
            CapabilitySet::MKNOD,
            CapabilitySet::NET_ADMIN,
            CapabilitySet::NET_RAW,
            CapabilitySet::BPF,
        ] {
            assert!(!left.permitted.contains(gone), "{gone:?}");
        }
    }
}
