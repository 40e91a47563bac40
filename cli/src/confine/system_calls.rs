//! Which system calls are refused, and with which answer.
//!
//! Everything else is allowed: what is refused is refused because it leads out of the scope, past
//! Landlock, past the kernel programs, or into another process. Each answer is one that an
//! ordinary kernel gives, so that programs fall back as they do there.

use libc::c_long;

/// How much is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Only what would hide a connection from the kernel programs, or change them.
    Observe,
    /// Everything.
    Enforce,
    /// Everything but what one process of the scope does to another to debug it.
    Debug,
}

/// A refusal: these calls, with this answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) errno: i32,
    pub(crate) calls: Vec<Call>,
}

/// A system call, and the arguments for which it is refused: any of `when`; always without one.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) number: c_long,
    pub(crate) when: Vec<Vec<Argument>>,
}

/// What an argument is held against. The kernel reads 32 bits of those that are no address, and so
/// does the filter: what stands above them would hide a match.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argument {
    pub(crate) index: u8,
    pub(crate) is: Is,
}

/// A comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Is {
    Equal(u32),
    Not(u32),
    /// All of these bits are set.
    With(u32),
    /// An address that is not null.
    Address,
}

/// Makes sockets and connects them where no filter of system calls sees it. Programs that use it
/// fall back to ordinary calls.
const RING: [c_long; 3] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Socket families that the kernel programs see. No cgroup hook runs for packet, XDP, VSOCK and
/// others.
const FAMILIES: [i32; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Changes the kernel programs and their maps.
const KERNEL_PROGRAMS: [c_long; 1] = [libc::SYS_bpf];

/// Changes what a path means. The rules for files and unix sockets hold only while this is refused.
const MOUNTS: [c_long; 14] = [
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    // Opens a file by its number, not by its path.
    libc::SYS_open_by_handle_at,
];

/// Linux 6.15; `include/uapi/asm-generic/unistd.h`, the same on x86-64.
const OPEN_TREE_ATTR: c_long = 467;

/// Namespaces, all of them. NEWUSER gives every right over the others; the rest need it or root.
/// NEWNS changes paths; NEWNET loses the resolver and loopback of the scope and gains packets that
/// no one else sees; NEWPID and NEWIPC hide from those who look on; NEWCGROUP and NEWUTS change
/// what the process is called. None is of use to a program that runs as an agent.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// For `unshare` only: in `clone` this bit is part of the signal (`linux/sched.h`).
const NEWTIME: u32 = 0x80;

/// Reads or writes another process, or takes its descriptors.
const OTHER_PROCESSES: [c_long; 5] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
];

/// Reaches the kernel, the machine, or keys that belong to the user's session.
const MACHINE: [c_long; 22] = [
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
];

/// Types into a terminal, as if the person there had: a shell outside would execute it.
/// `asm-generic/ioctls.h` and `linux/tiocl.h`.
const TYPING: [u32; 2] = [0x5412, 0x541C];

/// What is refused, first the answers that hold in every strictness.
pub(crate) fn refusals(strictness: Strictness) -> Vec<Refusal> {
    let mut unknown = always(&RING);
    let mut forbidden = always(&KERNEL_PROGRAMS);
    let mut all = vec![Refusal {
        errno: libc::EAFNOSUPPORT,
        calls: vec![families(libc::SYS_socket), families(libc::SYS_socketpair)],
    }];
    if strictness != Strictness::Observe {
        // Its flags are behind an address, where no filter sees them; libc falls back to clone.
        unknown.extend(always(&[libc::SYS_clone3]));
        forbidden.extend(enforced());
        all.push(Refusal {
            errno: libc::EPROTONOSUPPORT,
            calls: vec![netlink()],
        });
    }
    if strictness == Strictness::Enforce {
        forbidden.extend(always(&OTHER_PROCESSES));
    }
    all.push(Refusal {
        errno: libc::ENOSYS,
        calls: unknown,
    });
    all.push(Refusal {
        errno: libc::EPERM,
        calls: forbidden,
    });
    all
}

fn enforced() -> Vec<Call> {
    let mut calls = always(&MOUNTS);
    calls.extend(always(&MACHINE));
    calls.extend(ports());
    calls.extend([
        call(libc::SYS_clone, any_of(0, NAMESPACES.map(bits))),
        call(
            libc::SYS_unshare,
            any_of(0, NAMESPACES.map(bits).into_iter().chain([NEWTIME])),
        ),
        call(
            libc::SYS_ioctl,
            TYPING.map(|code| vec![argument(1, Is::Equal(code))]).into(),
        ),
        // Rewrites which file and which arguments `/proc` shows of a process.
        call(
            libc::SYS_prctl,
            vec![vec![argument(0, Is::Equal(bits(libc::PR_SET_MM)))]],
        ),
        // Limits of another process of the user, which would end it.
        call(
            libc::SYS_prlimit64,
            vec![vec![argument(0, Is::Not(0)), argument(2, Is::Address)]],
        ),
    ]);
    calls
}

/// Ports of the machine's devices, where there are such.
fn ports() -> Vec<Call> {
    #[cfg(target_arch = "x86_64")]
    return always(&[libc::SYS_iopl, libc::SYS_ioperm]);
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

/// Any family but those that are known.
fn families(number: c_long) -> Call {
    let none = FAMILIES.map(|family| argument(0, Is::Not(bits(family))));
    call(number, vec![none.into()])
}

/// Netlink is for reading interfaces and routes; others reach the firewall, the audit log, other
/// processes' sockets.
fn netlink() -> Call {
    let other = vec![
        argument(0, Is::Equal(bits(libc::AF_NETLINK))),
        argument(2, Is::Not(bits(libc::NETLINK_ROUTE))),
    ];
    call(libc::SYS_socket, vec![other])
}

fn always(numbers: &[c_long]) -> Vec<Call> {
    numbers
        .iter()
        .map(|number| call(*number, Vec::new()))
        .collect()
}

fn any_of(index: u8, flags: impl IntoIterator<Item = u32>) -> Vec<Vec<Argument>> {
    let flags = flags.into_iter();
    flags
        .map(|flag| vec![argument(index, Is::With(flag))])
        .collect()
}

const fn call(number: c_long, when: Vec<Vec<Argument>>) -> Call {
    Call { number, when }
}

const fn argument(index: u8, is: Is) -> Argument {
    Argument { index, is }
}

/// The bits of a C constant.
const fn bits(constant: i32) -> u32 {
    constant.cast_unsigned()
}
