//! Ways out that the kernel has, and the filter refuses.

use std::fs;

use lanyard_protocol::control::Admitted;

use crate::sandbox::{Sandbox, ordinary, text, users};

/// The error number of a system call inside; 0 if it is done.
fn errno(sandbox: &Sandbox, call: &str) -> i32 {
    let script = format!("my $r = syscall({call}); print $r < 0 ? $!+0 : 0");
    sandbox.perl(&script).parse().unwrap()
}

fn observed() -> Sandbox {
    let admitted = Admitted {
        observed: true,
        ..Admitted::default()
    };
    Sandbox::new(ordinary(), admitted)
}

#[test]
fn nothing_is_mounted_and_no_namespace_is_made_or_entered() {
    for user in users() {
        let sandbox = Sandbox::enforced(user);
        for refused in [
            "mount -t tmpfs none .",
            "mount --bind / .",
            "umount /proc",
            "unshare -Urm true",
            "unshare -n true",
            "unshare --mount true",
            "chroot / true",
            "nsenter -t $$ -m true",
            "nsenter -t 1 -n true",
        ] {
            let output = sandbox.shell(refused);
            assert!(
                !output.status.success(),
                "uid {user}: {refused}: {output:?}"
            );
            let told = text(&output.stderr).to_lowercase();
            let is_refused = ["not permitted", "denied", "superuser"]
                .iter()
                .any(|word| told.contains(word));
            assert!(is_refused, "uid {user}: {refused}: {told}");
        }
        assert!(
            sandbox
                .shell("(true & wait) && sh -c true")
                .status
                .success()
        );
    }
}

#[test]
fn io_uring_and_clone3_are_not_there() {
    let sandbox = Sandbox::enforced(ordinary());
    let setup = format!("{}, 1, my $b = \"\\0\" x 120", libc::SYS_io_uring_setup);
    assert_eq!(errno(&sandbox, &setup), libc::ENOSYS);
    let clone3 = format!("{}, my $b = \"\\0\" x 64, 64", libc::SYS_clone3);
    assert_eq!(errno(&sandbox, &clone3), libc::ENOSYS);
    assert_eq!(errno(&observed(), &setup), libc::ENOSYS);
    // 64 bytes of nothing: no exit signal is not refused, the process is just made.
    let script = format!(
        "my $b = \"\\0\" x 64; my $r = syscall({}, $b, 64); print \"done \" if $r >= 0; exit 0",
        libc::SYS_clone3
    );
    assert!(observed().perl(&script).contains("done"));
}

#[test]
fn sockets_are_of_families_that_the_kernel_programs_see() {
    for user in users() {
        let sandbox = Sandbox::enforced(user);
        let socket = |family: i32, kind: i32, protocol: i32| {
            errno(
                &sandbox,
                &format!("{}, {family}, {kind}, {protocol}", libc::SYS_socket),
            )
        };
        for family in [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX] {
            assert_eq!(
                socket(family, libc::SOCK_STREAM, 0),
                0,
                "uid {user}: {family}"
            );
        }
        assert_eq!(
            socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE),
            0
        );
        for family in [libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG, libc::AF_XDP] {
            assert_eq!(
                socket(family, libc::SOCK_STREAM, 0),
                libc::EAFNOSUPPORT,
                "uid {user}: {family}"
            );
        }
        let audit = socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW,
            libc::NETLINK_KOBJECT_UEVENT,
        );
        assert_eq!(audit, libc::EPROTONOSUPPORT, "uid {user}");
    }
    let packet = format!(
        "{}, {}, {}, 0",
        libc::SYS_socket,
        libc::AF_PACKET,
        libc::SOCK_DGRAM
    );
    assert_eq!(errno(&observed(), &packet), libc::EAFNOSUPPORT);
}

#[test]
fn the_kernel_programs_and_the_users_keys_are_out_of_reach() {
    for user in users() {
        let sandbox = Sandbox::enforced(user);
        for number in [
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_keyctl,
            libc::SYS_open_by_handle_at,
            libc::SYS_userfaultfd,
        ] {
            assert_eq!(
                errno(&sandbox, &format!("{number}, 0, 0, 0")),
                libc::EPERM,
                "uid {user}: {number}"
            );
        }
        assert_eq!(errno(&sandbox, &libc::SYS_getpid.to_string()), 0);
    }
    assert_eq!(
        errno(&observed(), &format!("{}, 0, 0, 0", libc::SYS_bpf)),
        libc::EPERM
    );
}

#[test]
fn an_observed_agent_is_not_held() {
    let sandbox = observed();
    sandbox.write("home/.ssh/id", "key");
    let output = sandbox.shell("cat ~/.ssh/id && echo x > ~/new && echo ${TMPDIR-unset} && grep -E 'NoNewPrivs|Seccomp:' /proc/self/status");
    assert_eq!(
        text(&output.stdout),
        "keyunset\nNoNewPrivs:\t1\nSeccomp:\t2\n",
        "{output:?}"
    );
    assert!(sandbox.at("home/new").exists());
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_second_numbering_of_system_calls_is_not_there() {
    let sandbox = Sandbox::enforced(ordinary());
    // getpid and mount of x32.
    for number in [39, 165] {
        assert_eq!(
            errno(&sandbox, &format!("{}, 0, 0, 0", 0x4000_0000 + number)),
            libc::ENOSYS
        );
    }
}

#[test]
fn a_setuid_program_gains_nothing() {
    if !users().contains(&0) {
        // Only root can make one: that it gains nothing then is what no_new_privs says.
        let status =
            Sandbox::enforced(ordinary()).shell("grep -q 'NoNewPrivs:.1' /proc/self/status");
        assert!(status.status.success());
        return;
    }
    let sandbox = Sandbox::enforced(ordinary());
    let program = sandbox.project().join("id");
    fs::copy("/usr/bin/id", &program).unwrap();
    let set = std::process::Command::new("chmod")
        .arg("4755")
        .arg(&program)
        .status();
    assert!(set.unwrap().success());
    let outside = crate::sandbox::printed(&mut sandbox.outside(&["./id"]));
    assert!(outside.contains("euid=0"), "{outside}");
    let inside = text(&sandbox.shell("./id").stdout).to_owned();
    assert!(
        inside.starts_with(&format!("uid={}", ordinary())),
        "{inside}"
    );
    assert!(!inside.contains("euid"), "{inside}");
}
