//! What the broker cannot do any more once it serves: the system calls that a parser taken over would need.
//!
//! It executes nothing, makes no process, looks into none, mounts nothing, loads nothing into the kernel and
//! speaks to nothing but the network. The rest is allowed, for the resolver of the machine loads modules that
//! nobody knows beforehand.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction,
    SeccompCmpArgLen::Dword,
    SeccompCmpOp::{MaskedEq, Ne},
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};
use thiserror::Error;

#[cfg(target_arch = "x86_64")]
const MACHINE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: TargetArch = TargetArch::aarch64;

/// Why the broker is not confined, and does not serve.
#[derive(Debug, Error)]
pub enum ConfinementError {
    /// The kernel would not understand it.
    #[error("build the filter of system calls: {0}")]
    Build(#[from] BackendError),
    /// The kernel refused it.
    #[error("install the filter of system calls: {0}")]
    Install(#[from] seccompiler::Error),
}

/// Confines this thread, and every thread it makes from now on. A call of another architecture ends the
/// process.
pub fn confine() -> Result<(), ConfinementError> {
    for program in [refused()?, unknown()?, second_numbering()] {
        apply_filter(&program)?;
    }
    Ok(())
}

/// Programs and processes, its own and others.
const PROCESSES: [c_long; 15] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_personality,
];

/// Parts of the kernel that are large, and of no use here.
const KERNEL: [c_long; 19] = [
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_fanotify_init,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
];

/// What files and names mean, and what time it is.
const SYSTEM: [c_long; 24] = [
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setresuid,
    libc::SYS_capset,
];

/// Answered as by a kernel without them: the C library and the runtime then take the older way.
const UNKNOWN: [c_long; 4] = [
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

#[cfg(target_arch = "x86_64")]
const OF_THIS_MACHINE: [c_long; 5] = [
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];
#[cfg(target_arch = "aarch64")]
const OF_THIS_MACHINE: [c_long; 0] = [];

fn refused() -> Result<BpfProgram, BackendError> {
    let always = PROCESSES
        .into_iter()
        .chain(KERNEL)
        .chain(SYSTEM)
        .chain(OF_THIS_MACHINE);
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        always.map(|number| (number, Vec::new())).collect();
    rules.insert(libc::SYS_socket, vec![other_socket()?]);
    rules.insert(libc::SYS_clone, vec![new_process()?]);
    let new_code = [
        (libc::SYS_mprotect, executable(None)?),
        (libc::SYS_pkey_mprotect, executable(None)?),
        (libc::SYS_mmap, executable(Some(libc::MAP_ANONYMOUS))?),
    ];
    rules.extend(new_code.map(|(number, rule)| (number, vec![rule])));
    program(rules, libc::EPERM)
}

fn unknown() -> Result<BpfProgram, BackendError> {
    let rules = UNKNOWN.map(|number| (number, Vec::new()));
    program(rules.into(), libc::ENOSYS)
}

fn program(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    answer: i32,
) -> Result<BpfProgram, BackendError> {
    let answer = SeccompAction::Errno(answer.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, answer, MACHINE)?.try_into()
}

/// Other families than the network's, and those by which the C library looks names up.
fn other_socket() -> Result<SeccompRule, BackendError> {
    let families = [
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_UNIX,
        libc::AF_NETLINK,
    ];
    let others = families
        .map(|family| SeccompCondition::new(0, Dword, Ne, u64::from(family.cast_unsigned())));
    SeccompRule::new(others.into_iter().collect::<Result<_, _>>()?)
}

/// What is no thread (clone(2), `CLONE_THREAD`).
fn new_process() -> Result<SeccompRule, BackendError> {
    let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
    SeccompRule::new(vec![SeccompCondition::new(0, Dword, MaskedEq(thread), 0)?])
}

/// Memory whose content no file gave, as code.
fn executable(mapping: Option<i32>) -> Result<SeccompRule, BackendError> {
    let with = |index, bit: i32| {
        let bit = u64::from(bit.cast_unsigned());
        SeccompCondition::new(index, Dword, MaskedEq(bit), bit)
    };
    let mapping = mapping.map(|flag| with(3, flag));
    let conditions = [with(2, libc::PROT_EXEC)].into_iter().chain(mapping);
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// On x86-64 the calls of x32 have the same architecture and numbers of their own, from 2^30 on
/// (`__X32_SYSCALL_BIT`), so that no list above has them.
fn second_numbering() -> BpfProgram {
    // linux/bpf_common.h: load a word, jump if greater or equal, return.
    const LOAD: u16 = 0x20;
    const JUMP: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let step = |code, jf, k| seccompiler::sock_filter { code, jt: 0, jf, k };
    let unknown = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    vec![
        step(LOAD, 0, 0),
        step(JUMP, 1, 0x4000_0000),
        step(RETURN, 0, unknown.into()),
        step(RETURN, 0, SeccompAction::Allow.into()),
    ]
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{ErrorKind, Read, Write},
        net::{TcpListener, TcpStream, UdpSocket},
        process::Command,
        thread,
    };

    use rustix::{
        net::{AddressFamily, SocketType, socket},
        process::{Signal, getpid, kill_process},
    };

    use super::*;

    /// The filter stays with the thread that installed it, and with those it makes.
    fn confined<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = thread::spawn(|| {
            confine().unwrap();
            act()
        });
        thread.join().unwrap()
    }

    #[test]
    fn what_the_broker_does_still_works() {
        let answered = confined(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let served = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(b"served").unwrap();
            });
            let mut text = String::new();
            TcpStream::connect(address)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            served.join().unwrap();
            UdpSocket::bind("[::]:0").unwrap();
            assert!(fs::read("/etc/hosts").is_ok());
            assert!(std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 80)).is_ok());
            text
        });
        assert_eq!(answered, "served");
    }

    #[test]
    fn what_an_intruder_would_do_is_refused() {
        assert!(Command::new("/bin/true").status().is_ok());
        confined(|| {
            let error = Command::new("/bin/true").status().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            let refused = rustix::io::Errno::PERM;
            let own = kill_process(getpid(), Signal::CONT);
            assert_eq!(own.unwrap_err(), refused);
            let raw = socket(AddressFamily::PACKET, SocketType::RAW, None);
            assert_eq!(raw.unwrap_err(), refused);
            let vsock = socket(AddressFamily::VSOCK, SocketType::STREAM, None);
            assert_eq!(vsock.unwrap_err(), refused);
            assert!(rustix::process::chroot("/").is_err());
            let file = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::empty());
            assert_eq!(file.unwrap_err(), refused);
        });
    }
}
