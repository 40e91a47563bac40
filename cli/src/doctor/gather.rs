//! Finds out what a machine is like. Nothing here changes anything.

mod sockets;

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::{
    fs::statfs,
    process::{Resource, getrlimit},
};

use super::facts::{Facts, Kernel, Limits, NodeAgent, ReachedBy, Service};
use crate::{
    args::{Environment, Place},
    confine::landlock_abi,
    status,
};

/// The kernel's types. Names of hooks and helpers stand in it as text.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// What the programs of the core tier attach to and call, by the names of the kernel's own enums
/// (include/uapi/linux/bpf.h).
const NEEDED: [&str; 16] = [
    "BPF_CGROUP_INET_INGRESS",
    "BPF_CGROUP_INET_EGRESS",
    "BPF_CGROUP_INET_SOCK_CREATE",
    "BPF_CGROUP_INET4_CONNECT",
    "BPF_CGROUP_INET6_CONNECT",
    "BPF_CGROUP_UDP4_SENDMSG",
    "BPF_CGROUP_UDP6_SENDMSG",
    "BPF_CGROUP_UDP4_RECVMSG",
    "BPF_CGROUP_UDP6_RECVMSG",
    "BPF_CGROUP_INET4_GETPEERNAME",
    "BPF_CGROUP_INET6_GETPEERNAME",
    "BPF_CGROUP_SOCK_OPS",
    "BPF_CGROUP_GETSOCKOPT",
    "BPF_FUNC_sk_storage_get",
    "BPF_FUNC_ktime_get_boot_ns",
    "BPF_FUNC_ringbuf_output",
];

/// Files that a shell, an editor, git or a build executes when a person next works in the folder.
const EXECUTED_LATER: [&str; 12] = [
    ".git/hooks",
    ".envrc",
    ".vscode/tasks.json",
    ".husky",
    ".pre-commit-config.yaml",
    "Makefile",
    "justfile",
    "package.json",
    "build.rs",
    "setup.py",
    "conftest.py",
    "docker-compose.yml",
];

/// Files of services that keep the clock right.
const CLOCK_KEEPERS: [&str; 4] = [
    "/run/systemd/timesync/synchronized",
    "/run/chrony/chronyd.pid",
    "/run/chronyd.pid",
    "/run/ntpd.pid",
];

/// Everything.
pub(super) fn facts(place: &Place, environment: &Environment, project: &Path) -> Facts {
    let uid = rustix::process::getuid().as_raw();
    Facts {
        kernel: kernel(),
        limits: limits(),
        node_agent: node_agent(place),
        services: services(environment, uid),
        executed_later: executed_later(project),
        is_root: rustix::process::geteuid().is_root(),
    }
}

fn kernel() -> Kernel {
    let name = rustix::system::uname();
    let types = fs::read(TYPES).unwrap_or_default();
    let text = |bytes: &std::ffi::CStr| bytes.to_string_lossy().into_owned();
    let needed = NEEDED.into_iter();
    Kernel {
        release: text(name.release()),
        architecture: text(name.machine()),
        has_types: !types.is_empty(),
        lacking: needed.filter(|name| !names(&types, name)).collect(),
        has_unix_hooks: names(&types, "BPF_CGROUP_UNIX_CONNECT"),
        has_seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
        landlock: landlock_abi(),
        cgroup2: cgroup2(),
        // BPF_FS_MAGIC, include/uapi/linux/magic.h
        has_bpf_filesystem: is_filesystem(Path::new("/sys/fs/bpf"), 0xcafe_4a11),
        destroys_sockets: sockets::can_be_destroyed(),
        lockdown: lockdown(),
        ptrace_scope: read("/proc/sys/kernel/yama/ptrace_scope").and_then(|text| text.parse().ok()),
    }
}

/// Whether the strings of the types have this name: each is ended by a NUL.
fn names(types: &[u8], name: &str) -> bool {
    let mut strings = types.split(|byte| *byte == 0);
    strings.any(|string| string == name.as_bytes())
}

fn cgroup2() -> Option<PathBuf> {
    // CGROUP2_SUPER_MAGIC, include/uapi/linux/magic.h
    const MAGIC: u64 = 0x6367_7270;
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    places.into_iter().find(|path| is_filesystem(path, MAGIC))
}

fn is_filesystem(path: &Path, magic: u64) -> bool {
    statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(magic))
}

/// The mode that stands in brackets: `none [integrity] confidentiality`.
fn lockdown() -> Option<String> {
    let modes = read("/sys/kernel/security/lockdown")?;
    let (_, rest) = modes.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

fn limits() -> Limits {
    let swaps = read("/proc/swaps").unwrap_or_default();
    Limits {
        locked_memory: getrlimit(Resource::Memlock).current,
        // The first line is a header.
        swap_is_on: swaps.lines().count() > 1,
        wall_clock: now().as_second(),
        clock_is_kept: CLOCK_KEEPERS.iter().any(|path| Path::new(path).exists()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "that the clock of this machine is plausible is what is asked"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

fn node_agent(place: &Place) -> NodeAgent {
    match status::fetch(place) {
        Ok(status) => NodeAgent::Answers {
            node: status.node,
            version: status.version,
            problems: status.problems.len(),
            observes: status
                .agents
                .iter()
                .any(|agent| agent.enforcement == "Observe"),
        },
        Err(error) if error.is_nobody() => NodeAgent::Absent,
        Err(error) => NodeAgent::Silent(error.to_string()),
    }
}

/// Those that are there.
fn services(environment: &Environment, uid: u32) -> Vec<Service> {
    let runtime = environment
        .folder("XDG_RUNTIME_DIR")
        .unwrap_or_else(|| format!("/run/user/{uid}").into());
    let named = |name| environment.folder(name);
    let bus = environment
        .get("DBUS_SESSION_BUS_ADDRESS")
        .and_then(|address| address.to_str()?.strip_prefix("unix:path="))
        .and_then(|path| path.split([',', ';']).next())
        .map(PathBuf::from);
    let sockets = [
        ("systemd-run --user", Some(runtime.join("systemd/private"))),
        ("systemd", Some("/run/systemd/private".into())),
        ("the session bus", bus.or(Some(runtime.join("bus")))),
        ("the system bus", Some("/run/dbus/system_bus_socket".into())),
        ("docker", Some("/run/docker.sock".into())),
        ("containerd", Some("/run/containerd/containerd.sock".into())),
        ("podman", Some("/run/podman/podman.sock".into())),
        ("podman", Some(runtime.join("podman/podman.sock"))),
        ("ssh-agent", named("SSH_AUTH_SOCK")),
        ("gpg-agent", Some(runtime.join("gnupg/S.gpg-agent"))),
        ("tmux", Some(format!("/tmp/tmux-{uid}/default").into())),
        ("screen", Some(format!("/run/screen/S-{uid}").into())),
        ("the display (X)", Some("/tmp/.X11-unix/X0".into())),
        ("the display (Wayland)", Some(runtime.join("wayland-0"))),
    ];
    let programs = ["at", "crontab", "sudo", "su", "pkexec"];
    let of_socket = |(name, path): (&'static str, Option<PathBuf>)| {
        let path = path.filter(|path| path.exists())?;
        Some(Service {
            name,
            reached_by: ReachedBy::Socket(path),
        })
    };
    let of_program = |name: &'static str| {
        let path = Path::new("/usr/bin").join(name);
        path.exists().then_some(Service {
            name,
            reached_by: ReachedBy::Program(path),
        })
    };
    let sockets = sockets.into_iter().filter_map(of_socket);
    sockets
        .chain(programs.into_iter().filter_map(of_program))
        .collect()
}

fn executed_later(project: &Path) -> Vec<String> {
    let there = EXECUTED_LATER
        .into_iter()
        .filter(|name| project.join(name).exists());
    there.map(str::to_owned).collect()
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_whole_and_not_within_another() {
        let types = b"\x9f\xeb\0BPF_CGROUP_UNIX_CONNECT\0BPF_FUNC_ringbuf_output_more\0";
        assert!(names(types, "BPF_CGROUP_UNIX_CONNECT"));
        assert!(!names(types, "BPF_FUNC_ringbuf_output"));
    }

    #[test]
    fn a_socket_of_the_environment_is_named_when_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let environment: Environment = [("SSH_AUTH_SOCK".into(), socket.clone().into())]
            .into_iter()
            .collect();
        let is_named = || {
            let found = services(&environment, 4_000_000);
            found.iter().any(|service| service.name == "ssh-agent")
        };
        assert!(!is_named());
        fs::write(&socket, "").unwrap();
        assert!(is_named());
    }

    #[test]
    fn what_a_folder_executes_later_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert!(executed_later(folder.path()).is_empty());
        fs::create_dir_all(folder.path().join(".git/hooks")).unwrap();
        assert_eq!(executed_later(folder.path()), [".git/hooks"]);
    }
}
