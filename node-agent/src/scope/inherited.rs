//! What a process brings into its scope that was opened outside: descriptors which lead to the network around all
//! that is decided inside.
//!
//! A socket belongs to the cgroup of whoever made it. One that was connected outside carries no tag, and its packets
//! would pass; to tag it would cut it for those outside who have it too.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
};

use rustix::{
    net::{AddressFamily, SocketAddrUnix, getpeername, sockopt::socket_domain},
    process::{PidfdGetfdFlags, pidfd_getfd},
};
use thiserror::Error;

/// Why a process does not become an agent.
#[derive(Debug, Error)]
pub enum InheritedError {
    /// The descriptors could not be looked at.
    #[error("look at the descriptors in {path}: {source}", path = .path.display())]
    System {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One leads to the network.
    #[error("descriptor {number} is {what}, opened outside the scope")]
    LeadsOut {
        /// Its number.
        number: i32,
        /// What it is.
        what: &'static str,
    },
    /// More than are looked at.
    #[error("the command inherits more than {MOST} descriptors")]
    TooMany,
}

/// The most descriptors that are looked at: nobody else waits for a process with a million of them.
const MOST: usize = 4_096;

/// Looks at the descriptors of a process that was just moved into its scope; what it opens from now on is decided
/// by the kernel programs. `process` is a pidfd of `pid`.
pub fn check(pid: u32, process: BorrowedFd<'_>) -> Result<(), InheritedError> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let numbers = numbers_in(&folder).map_err(|source| failed(&folder, source))?;
    if numbers.len() > MOST {
        return Err(InheritedError::TooMany);
    }
    for number in numbers {
        let path = folder.join(number.to_string());
        let what = look(&path, number, process).map_err(|source| failed(&path, source))?;
        if let Some(what) = what {
            return Err(InheritedError::LeadsOut { number, what });
        }
    }
    Ok(())
}

fn numbers_in(folder: &Path) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)?.take(MOST + 1) {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        numbers.push(number.ok_or(io::ErrorKind::InvalidData)?);
    }
    Ok(numbers)
}

fn look(path: &Path, number: i32, process: BorrowedFd<'_>) -> io::Result<Option<&'static str>> {
    let opened = match fs::read_link(path) {
        Ok(opened) => opened,
        // Closed since.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let opened = opened.to_string_lossy();
    if !opened.starts_with("socket:") {
        return Ok(file_leads_out(&opened));
    }
    match pidfd_getfd(process, number, PidfdGetfdFlags::empty()) {
        Ok(socket) => Ok(match socket_domain(socket.as_fd())? {
            AddressFamily::UNIX if number <= LAST_OF_STDIO || ends_at_execution(path) => None,
            AddressFamily::UNIX if has_named_peer(socket.as_fd()) => {
                Some("a connection to a unix socket")
            }
            family => socket_leads_out(family),
        }),
        Err(rustix::io::Errno::BADF) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The journal is connected to standard output and error of what systemd starts.
const LAST_OF_STDIO: i32 = 2;

/// Whether a unix socket is connected to one that was found by a name: to a service, then, and not to a parent.
fn has_named_peer(socket: BorrowedFd<'_>) -> bool {
    let Ok(Some(peer)) = getpeername(socket) else {
        return false; // not connected
    };
    let peer = SocketAddrUnix::try_from(peer);
    peer.map_or(true, |peer| {
        peer.path().is_some() || peer.abstract_name().is_some()
    })
}

/// Whether a descriptor goes no further than the process that has it, as the one on which `lanyard` asked to be
/// admitted.
fn ends_at_execution(path: &Path) -> bool {
    let number = path.file_name().unwrap_or_default();
    let Some(process) = path.parent().and_then(Path::parent) else {
        return false;
    };
    let told = fs::read_to_string(process.join("fdinfo").join(number)).unwrap_or_default();
    let flags = told.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & libc::O_CLOEXEC != 0)
}

/// Sockets of what families lead out. A pair of unix sockets is how a parent talks to its child.
fn socket_leads_out(family: AddressFamily) -> Option<&'static str> {
    match family {
        AddressFamily::UNIX | AddressFamily::NETLINK => None,
        AddressFamily::INET | AddressFamily::INET6 => Some("a network socket"),
        _ => Some("a socket that no rule is about"),
    }
}

/// What else leads out: `opened` is what the kernel calls it in `/proc/PID/fd`.
fn file_leads_out(opened: &str) -> Option<&'static str> {
    match opened {
        // A thread of the kernel may serve it, which no filter of system calls stops.
        "anon_inode:[io_uring]" => Some("an io_uring"),
        "/dev/net/tun" | "/dev/vhost-net" | "/dev/vhost-vsock" => Some("a network device"),
        other if other.starts_with("/dev/tap") => Some("a network device"),
        other if other.starts_with("anon_inode:bpf") => Some("a kernel program or its map"),
        _ => None,
    }
}

fn failed(path: &Path, source: io::Error) -> InheritedError {
    InheritedError::System {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        os::fd::AsRawFd as _,
        os::unix::net::{UnixListener, UnixStream},
    };

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[test]
    fn sockets_of_the_network_lead_out_and_pairs_do_not() {
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            assert_eq!(socket_leads_out(family), Some("a network socket"));
        }
        for family in [AddressFamily::PACKET, AddressFamily::BLUETOOTH] {
            assert!(socket_leads_out(family).is_some());
        }
        assert_eq!(socket_leads_out(AddressFamily::UNIX), None);
    }

    #[test]
    fn files_do_not_lead_out_but_devices_of_the_network_do() {
        for opened in [
            "/home/me/notes",
            "/dev/null",
            "/dev/pts/3",
            "pipe:[4711]",
            "anon_inode:[eventpoll]",
            "/tmp/socket:[1]",
        ] {
            assert_eq!(file_leads_out(opened), None, "{opened}");
        }
        for opened in [
            "anon_inode:[io_uring]",
            "anon_inode:bpf-map",
            "/dev/net/tun",
            "/dev/tap7",
        ] {
            assert!(file_leads_out(opened).is_some(), "{opened}");
        }
    }

    #[test]
    fn each_descriptor_is_told_by_its_kind() {
        let own = pidfd_open(
            Pid::from_raw(std::process::id().cast_signed()).unwrap(),
            PidfdFlags::empty(),
        )
        .unwrap();
        let look_at = |number: i32| {
            let path = PathBuf::from(format!("/proc/self/fd/{number}"));
            look(&path, number, own.as_fd()).unwrap()
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (pair, _other) = UnixStream::pair().unwrap();
        let file = fs::File::open("/dev/null").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service");
        let service = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        assert_eq!(look_at(client.as_raw_fd()), None, "ends at execution");
        rustix::io::fcntl_setfd(&client, rustix::io::FdFlags::empty()).unwrap();
        let asked = "a connection to a unix socket";
        assert_eq!(look_at(client.as_raw_fd()), Some(asked));
        assert_eq!(look_at(service.as_raw_fd()), None);
        assert_eq!(look_at(listener.as_raw_fd()), Some("a network socket"));
        assert_eq!(look_at(pair.as_raw_fd()), None);
        assert_eq!(look_at(file.as_raw_fd()), None);
        assert_eq!(look_at(1_000_000), None, "closed since");
    }
}
