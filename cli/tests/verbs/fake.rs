//! A node agent that answers one connection by a script, and the command that speaks to it.

use std::{
    fs,
    io::{IoSliceMut, Read},
    mem::MaybeUninit,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread::{self, JoinHandle},
    time::Duration,
};

use lanyard_protocol::{
    control::{Reply, Request, reply, request::Verb},
    frame,
};
use rustix::{
    fd::OwnedFd,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, Shutdown, recvmsg, shutdown},
};
use tempfile::TempDir;

/// Longer than anything here takes: a wait that lasts this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The folder of sockets and the listening node agent in it.
pub(crate) struct FakeNodeAgent<T> {
    folder: TempDir,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> FakeNodeAgent<T> {
    /// Serves one connection by `script`.
    pub(crate) fn start(script: impl FnOnce(Asked) -> T + Send + 'static) -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("local")).unwrap();
        fs::create_dir(folder.path().join("project")).unwrap();
        let listener = UnixListener::bind(folder.path().join("local/control.sock")).unwrap();
        let thread = thread::spawn(move || script(Asked::accept(&listener)));
        Self { folder, thread }
    }

    /// Serves connections one after another by `script`, for as long as the test lives.
    pub(crate) fn serve(mut script: impl FnMut(Asked) + Send + 'static) -> FakeNodeAgent<()> {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("local")).unwrap();
        fs::create_dir(folder.path().join("project")).unwrap();
        let listener = UnixListener::bind(folder.path().join("local/control.sock")).unwrap();
        let thread = thread::spawn(move || {
            loop {
                script(Asked::accept(&listener));
            }
        });
        FakeNodeAgent { folder, thread }
    }

    /// The command in a project folder; it knows this node agent and nothing else of the
    /// environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = lanyard();
        command
            .current_dir(self.folder.path().join("project"))
            .env("LANYARD_RUN_DIR", self.folder.path());
        command
    }

    /// What the command does with `words`, and what the script returned.
    pub(crate) fn when(self, words: &[&str]) -> (Output, T) {
        let output = self.command().args(words).output().unwrap();
        (output, self.end())
    }

    /// What the script returned.
    pub(crate) fn end(self) -> T {
        self.thread.join().unwrap()
    }
}

/// The command without an environment.
pub(crate) fn lanyard() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanyard"));
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// A folder without any socket.
pub(crate) fn nobody() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}

/// A request that was read, and the way to answer it.
pub(crate) struct Asked {
    pub(crate) verb: Verb,
    pub(crate) descriptor: Option<OwnedFd>,
    stream: UnixStream,
}

impl Asked {
    fn accept(listener: &UnixListener) -> Self {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (first, descriptor) = receive_first(&stream);
        let request: Request = frame::read(&mut first.as_slice().chain(&mut stream)).unwrap();
        assert_eq!(request.protocol, lanyard_protocol::CONTROL_PROTOCOL);
        Self {
            verb: request.verb.unwrap(),
            descriptor,
            stream,
        }
    }

    pub(crate) fn answer(&mut self, reply: reply::Reply) {
        let reply = Reply { reply: Some(reply) };
        frame::write(&mut self.stream, &reply).unwrap();
    }

    /// Whether the other side has closed the connection, within the deadline.
    pub(crate) fn is_left(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    /// Sends no more, as a node agent that died.
    pub(crate) fn hang_up(&self) {
        shutdown(&self.stream, Shutdown::Both).unwrap();
    }
}

/// The first byte, with which a descriptor may come.
fn receive_first(stream: &UnixStream) -> (Vec<u8>, Option<OwnedFd>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let received = recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let descriptor = control.drain().find_map(|message| {
        let RecvAncillaryMessage::ScmRights(mut descriptors) = message else {
            return None;
        };
        descriptors.next()
    });
    (byte[..received.bytes].to_vec(), descriptor)
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Writes a program by a child, like every copy of one: a file that this process has open for
/// writing is inherited by whatever another thread starts meanwhile, and cannot be executed until
/// that has ended (ETXTBSY).
pub(crate) fn write_program(path: &Path, content: &str) {
    let written = Command::new("sh")
        .args(["-c", r#"printf '%s\n' "$1" >"$0" && chmod 755 "$0""#])
        .arg(path)
        .arg(content)
        .status();
    assert!(written.unwrap().success());
}
