//! Starts a broker: without rights, with one descriptor to talk on.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::{
    fs::{Mode, OFlags, open},
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
        SocketType, sendmsg, socketpair,
    },
};
use tokio::process::{Child, Command};

use super::memory;
use crate::user::{self, UserId};

const PROGRAM: &str = "lanyard-broker";
/// Where packages put it.
const INSTALLED: &str = "/usr/libexec/lanyard";
/// The user that packages make for brokers.
const USER: &str = "lanyard-broker";
/// A number without an account, where there is no such user: `nobody` is shared with other services, and
/// whoever has a process's user can look into it.
const NO_ACCOUNT: UserId = UserId {
    uid: 65_532,
    gid: 65_532,
};
/// The byte that descriptors travel with.
const HANDOVER: &[u8] = b"S";

/// Starts a broker that listens on `sockets`. It ends when the returned process is dropped, or when the
/// other end of the returned stream is.
pub(super) fn start(sockets: &[BorrowedFd<'_>]) -> io::Result<(Child, UnixStream)> {
    let (own, its) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let program = find()?;
    // Opened here and executed by descriptor: its user need not reach the folder it is in.
    let executable = open(&program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let id = user::by_name(USER).unwrap_or(NO_ACCOUNT);
    let mut broker = Command::new(format!("/proc/self/fd/{}", executable.as_raw_fd()));
    broker
        .arg0(PROGRAM)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(its))
        .stdout(Stdio::null())
        .uid(id.uid)
        .gid(id.gid)
        .kill_on_drop(true);
    memory::bound(&mut broker);
    let process = broker.spawn()?;
    memory::let_lock(&process);
    hand_over(own.as_fd(), sockets)?;
    Ok((process, UnixStream::from(own)))
}

pub(super) fn hand_over(stream: BorrowedFd<'_>, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::Error::other("a broker listens on four sockets at most"));
    }
    sendmsg(
        stream,
        &[IoSlice::new(HANDOVER)],
        &mut control,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Beside this program, or where packages put it.
fn find() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.parent().map(|folder| folder.join(PROGRAM));
    let places = [beside, Some(Path::new(INSTALLED).join(PROGRAM))];
    let found = places.into_iter().flatten().find(|path| path.exists());
    found.ok_or_else(|| {
        let message = format!(
            "{PROGRAM} is neither beside {} nor in {INSTALLED}",
            own.display()
        );
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}
