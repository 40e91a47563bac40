//! What the compiled filters answer, run by an interpreter of the few instructions they have.

use super::*;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;

#[cfg(target_arch = "x86_64")]
const AUDIT_MACHINE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_MACHINE: u32 = 0xc000_00b7;

/// `struct seccomp_data` as words.
fn data(architecture: u32, number: i64, arguments: &[u64]) -> Vec<u32> {
    let low = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap();
    let mut words = vec![low(number.cast_unsigned()), architecture, 0, 0];
    for index in 0..6 {
        let argument = arguments.get(index).copied().unwrap_or(0);
        words.extend([low(argument), low(argument >> 32)]);
    }
    words
}

fn run(program: &BpfProgram, data: &[u32]) -> u32 {
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let step = &program[at];
        let taken = match step.code {
            0x20 => {
                accumulator = data[step.k as usize / 4];
                None
            }
            0x54 => {
                accumulator &= step.k;
                None
            }
            0x05 => {
                at += step.k as usize;
                None
            }
            0x15 => Some(accumulator == step.k),
            0x25 => Some(accumulator > step.k),
            0x35 => Some(accumulator >= step.k),
            0x06 => return step.k,
            other => panic!("instruction {other:#x}"),
        };
        at += 1 + match taken {
            Some(true) => usize::from(step.jt),
            Some(false) => usize::from(step.jf),
            None => 0,
        };
    }
}

/// The errno with which a call is refused; 0 if it is allowed.
fn verdict(strictness: Strictness, number: i64, arguments: &[u64]) -> i32 {
    let data = data(AUDIT_MACHINE, number, arguments);
    let answers: Vec<_> = programs(strictness)
        .unwrap()
        .iter()
        .map(|program| run(program, &data))
        .filter(|answer| *answer != ALLOW)
        .collect();
    match answers.as_slice() {
        [] => 0,
        [answer] if answer & 0xffff_0000 == ERRNO => (answer & 0xffff).cast_signed(),
        other => panic!("{other:#x?}"),
    }
}

fn enforced(number: i64, arguments: &[u64]) -> i32 {
    verdict(Strictness::Enforce, number, arguments)
}

fn flags(constant: i32) -> u64 {
    u64::from(constant.cast_unsigned())
}

#[test]
fn paths_mean_what_they_meant() {
    for number in [
        libc::SYS_mount,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_mount_setattr,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_setns,
        libc::SYS_open_by_handle_at,
        467,
    ] {
        assert_eq!(enforced(number, &[]), libc::EPERM, "{number}");
    }
    for number in [
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_statx,
        libc::SYS_execve,
    ] {
        assert_eq!(enforced(number, &[]), 0, "{number}");
    }
}

#[test]
fn no_namespace_is_made_and_threads_and_processes_are() {
    let thread = flags(libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND);
    let fork = flags(libc::CLONE_CHILD_SETTID | libc::SIGCHLD);
    for ordinary in [thread, fork, flags(libc::CLONE_VFORK | libc::CLONE_VM)] {
        assert_eq!(enforced(libc::SYS_clone, &[ordinary]), 0);
    }
    for flag in [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ] {
        // What stands in the upper half of an argument hides nothing.
        for asked in [flags(flag), flags(flag) | fork, flags(flag) | 1 << 40] {
            assert_eq!(
                enforced(libc::SYS_clone, &[asked]),
                libc::EPERM,
                "{asked:#x}"
            );
            assert_eq!(
                enforced(libc::SYS_unshare, &[asked]),
                libc::EPERM,
                "{asked:#x}"
            );
        }
    }
    assert_eq!(enforced(libc::SYS_unshare, &[0x80]), libc::EPERM);
    assert_eq!(enforced(libc::SYS_unshare, &[flags(libc::CLONE_FILES)]), 0);
    assert_eq!(enforced(libc::SYS_clone3, &[]), libc::ENOSYS);
}

#[test]
fn sockets_are_of_families_that_are_seen() {
    let socket = |family: i32, protocol: i32| {
        let arguments = [flags(family), flags(libc::SOCK_DGRAM), flags(protocol)];
        enforced(libc::SYS_socket, &arguments)
    };
    for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
        assert_eq!(socket(family, 0), 0, "{family}");
        assert_eq!(socket(family, libc::IPPROTO_UDP), 0, "{family}");
    }
    for family in [
        libc::AF_PACKET,
        libc::AF_VSOCK,
        libc::AF_XDP,
        libc::AF_ALG,
        libc::AF_BLUETOOTH,
        libc::AF_TIPC,
        -1,
    ] {
        assert_eq!(socket(family, 0), libc::EAFNOSUPPORT, "{family}");
    }
    assert_eq!(socket(libc::AF_NETLINK, libc::NETLINK_ROUTE), 0);
    for protocol in [
        libc::NETLINK_NETFILTER,
        libc::NETLINK_AUDIT,
        libc::NETLINK_SOCK_DIAG,
    ] {
        assert_eq!(socket(libc::AF_NETLINK, protocol), libc::EPROTONOSUPPORT);
    }
    let hidden = [flags(libc::AF_PACKET) | 1 << 32];
    assert_eq!(enforced(libc::SYS_socket, &hidden), libc::EAFNOSUPPORT);
    assert_eq!(enforced(libc::SYS_socketpair, &[flags(libc::AF_UNIX)]), 0);
    let tipc = [flags(libc::AF_TIPC)];
    assert_eq!(enforced(libc::SYS_socketpair, &tipc), libc::EAFNOSUPPORT);
}

#[test]
fn other_processes_are_reached_only_to_debug() {
    for number in [
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
    ] {
        assert_eq!(enforced(number, &[]), libc::EPERM);
        assert_eq!(verdict(Strictness::Debug, number, &[]), 0);
        assert_eq!(verdict(Strictness::Observe, number, &[]), 0);
    }
    assert_eq!(
        verdict(Strictness::Debug, libc::SYS_mount, &[]),
        libc::EPERM
    );
    let limit = |process, new| enforced(libc::SYS_prlimit64, &[process, 7, new, 0]);
    assert_eq!(limit(0, 0x7fff_0000_0000), 0);
    assert_eq!(limit(1234, 0), 0);
    assert_eq!(limit(1234, 0x7fff_0000_0000), libc::EPERM);
}

#[test]
fn nothing_is_typed_into_a_terminal() {
    let ioctl = |code| enforced(libc::SYS_ioctl, &[0, code]);
    for code in [0x5412, 0x541c, 0x5412 | 1 << 32] {
        assert_eq!(ioctl(code), libc::EPERM, "{code:#x}");
    }
    // TCGETS, TIOCSPGRP, TIOCGWINSZ, FIONREAD.
    for code in [0x5401, 0x5410, 0x5413, 0x541b] {
        assert_eq!(ioctl(code), 0, "{code:#x}");
    }
    assert_eq!(
        enforced(libc::SYS_prctl, &[flags(libc::PR_SET_MM)]),
        libc::EPERM
    );
    assert_eq!(enforced(libc::SYS_prctl, &[flags(libc::PR_SET_NAME)]), 0);
}

#[test]
fn an_observed_agent_loses_only_what_hides_its_connections() {
    let observed = |number, arguments: &[u64]| verdict(Strictness::Observe, number, arguments);
    assert_eq!(observed(libc::SYS_io_uring_setup, &[]), libc::ENOSYS);
    assert_eq!(observed(libc::SYS_bpf, &[]), libc::EPERM);
    let packet = [flags(libc::AF_PACKET)];
    assert_eq!(observed(libc::SYS_socket, &packet), libc::EAFNOSUPPORT);
    let audit = [flags(libc::AF_NETLINK), 0, flags(libc::NETLINK_AUDIT)];
    assert_eq!(observed(libc::SYS_socket, &audit), 0);
    for number in [
        libc::SYS_clone3,
        libc::SYS_mount,
        libc::SYS_setns,
        libc::SYS_keyctl,
    ] {
        assert_eq!(observed(number, &[]), 0, "{number}");
    }
    assert_eq!(
        observed(libc::SYS_unshare, &[flags(libc::CLONE_NEWUSER)]),
        0
    );
}

#[test]
fn another_architecture_ends_the_process() {
    // AUDIT_ARCH_I386.
    let short = data(0x4000_0003, 1, &[]);
    for strictness in [Strictness::Observe, Strictness::Enforce, Strictness::Debug] {
        let programs = programs(strictness).unwrap();
        assert!(programs.iter().any(|program| run(program, &short) == KILL));
    }
}

#[test]
fn the_second_numbering_of_the_same_architecture_is_answered_as_unknown() {
    for number in [
        0x4000_0000 | libc::SYS_mount,
        0x4000_0000 | libc::SYS_socket,
        -1,
    ] {
        assert_eq!(enforced(number, &[]), libc::ENOSYS, "{number:#x}");
        let observed = verdict(Strictness::Observe, number, &[flags(libc::AF_PACKET)]);
        assert_eq!(observed, libc::ENOSYS);
    }
}
