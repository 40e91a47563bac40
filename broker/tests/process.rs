//! The real process, started as the node agent starts it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{IoSlice, Read},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use lanyard_protocol::{
    broker::{FromAgent, FromBroker, NameBinding, ScopeState, call, from_agent},
    frame,
};
use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Pid, Signal, kill_process},
};

/// Nothing here takes longer, or it has failed.
const LIMIT: Duration = Duration::from_secs(30);

struct Started {
    child: Child,
    link: UnixStream,
    tcp: SocketAddr,
    dns: SocketAddr,
}

impl Drop for Started {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn start() -> Started {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(LIMIT)).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_lanyard-broker"))
        .args(["--log", "debug"])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    let descriptors = [tcp.as_fd(), dns.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(
        &ours,
        &[IoSlice::new(b"S")],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
    Started {
        child,
        link: ours,
        tcp: tcp.local_addr().unwrap(),
        dns: dns.local_addr().unwrap(),
    }
}

fn send_state(link: &mut UnixStream) {
    let state = ScopeState {
        scope: "7".into(),
        agent: "default/bot".into(),
        names: vec![NameBinding {
            name: "api.example.com".into(),
            v4: vec![198, 19, 0, 1],
            v6: vec![0xfd; 16],
        }],
        ..ScopeState::default()
    };
    let message = FromAgent {
        message: Some(from_agent::Message::State(state)),
    };
    frame::write(link, &message).unwrap();
}

/// Waits until it asks for a certificate, which it does once it serves.
fn wait_until_ready(link: &mut UnixStream) {
    let asked: FromBroker = frame::read(link).unwrap();
    let call = asked.call.unwrap().call.unwrap();
    assert!(matches!(call, call::Call::SignIntermediate(_)));
}

fn ends(mut started: Started) -> ExitStatus {
    let (done, ended) = mpsc::channel();
    let pid = Pid::from_child(&started.child);
    let waiting = thread::spawn(move || {
        let status = started.child.wait().unwrap();
        done.send(status).ok();
    });
    let status = ended.recv_timeout(LIMIT).unwrap_or_else(|_| {
        kill_process(pid, Signal::KILL).unwrap();
        panic!("it did not end");
    });
    waiting.join().unwrap();
    status
}

#[test]
fn it_serves_and_keeps_to_itself() {
    let mut started = start();
    send_state(&mut started.link);
    wait_until_ready(&mut started.link);

    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03api\x07example\x03com\0\0\x01\0\x01";
    client.send_to(query, started.dns).unwrap();
    let mut reply = [0; 512];
    let length = client.recv(&mut reply).unwrap();
    assert!(reply[..length].ends_with(&[198, 19, 0, 1]));

    // No kernel program tags this one.
    let mut stranger = TcpStream::connect(started.tcp).unwrap();
    stranger.set_read_timeout(Some(LIMIT)).unwrap();
    assert!(matches!(stranger.read(&mut [0; 1]), Ok(0) | Err(_)));

    let proc = format!("/proc/{}", started.child.id());
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let limits = fs::read_to_string(format!("{proc}/limits")).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core"));
    let cores: Vec<_> = cores.unwrap().split_whitespace().collect();
    assert_eq!(cores[4..6], ["0", "0"]);
}

#[test]
fn it_ends_when_the_node_agent_closes_the_link() {
    let mut started = start();
    send_state(&mut started.link);
    wait_until_ready(&mut started.link);
    started.link = UnixStream::pair().unwrap().0;
    assert!(ends(started).success());
}

#[test]
fn it_ends_at_once_when_it_is_told_to() {
    let mut started = start();
    send_state(&mut started.link);
    wait_until_ready(&mut started.link);
    kill_process(Pid::from_child(&started.child), Signal::TERM).unwrap();
    assert!(ends(started).success());
}

#[test]
fn it_serves_nothing_before_it_knows_its_scope() {
    let mut started = start();
    started.link = UnixStream::pair().unwrap().0;
    assert!(!ends(started).success());
}
