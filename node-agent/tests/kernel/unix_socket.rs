//! Unix sockets: what a scope lists, and nothing else.

use std::{
    fs,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixDatagram, UnixListener},
    },
};

use lanyard_node_agent_abi::{
    cause::Cause,
    process::level,
    unix::{PATH, UnixKey},
};
use tempfile::TempDir;

use super::node::Node;

/// A server of both kinds in a folder of its own.
struct Server {
    folder: TempDir,
    _stream: UnixListener,
    _datagram: UnixDatagram,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let path = folder.path().join(name);
            move || fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap()
        };
        let stream = UnixListener::bind(folder.path().join("stream")).unwrap();
        let datagram = UnixDatagram::bind(folder.path().join("datagram")).unwrap();
        for name in ["", "stream", "datagram"] {
            open(name)();
        }
        Self {
            folder,
            _stream: stream,
            _datagram: datagram,
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Every way to speak to it, each with the path that it names.
    fn ways(&self) -> Vec<(String, String)> {
        let (stream, datagram) = (self.path("stream"), self.path("datagram"));
        let new = |kind: &str| format!("socket.socket(socket.AF_UNIX, socket.{kind})");
        vec![
            (
                format!("{}.connect({stream:?})", new("SOCK_STREAM")),
                stream.clone(),
            ),
            (
                format!("{}.connect({datagram:?})", new("SOCK_DGRAM")),
                datagram.clone(),
            ),
            (
                format!("{}.sendto(b'x', {datagram:?})", new("SOCK_DGRAM")),
                datagram,
            ),
        ]
    }
}

fn key(scope: u32, path: &str) -> UnixKey {
    let mut key = UnixKey {
        scope,
        path: [0; PATH],
    };
    key.path[..path.len()].copy_from_slice(path.as_bytes());
    key
}

#[test]
fn a_socket_that_is_not_listed_is_refused_and_told_by_its_path() {
    let mut node = Node::start();
    let server = Server::start();
    let mut actor = node.attested(level::IMAGE);
    for (way, path) in server.ways() {
        assert_eq!(actor.attempt(&way), Err("EPERM".into()), "{way}");
        let event = node.refusal(Cause::UnixSocket);
        assert_eq!((event.scope, event.tgid), (node.scope, actor.pid), "{way}");
        assert_eq!(event.path, key(0, &path).path, "{way}");
    }
    let mut outside = node.outside();
    for (way, _) in server.ways() {
        outside.attempt(&way).unwrap();
    }
    assert_eq!(node.other_refusals(), []);
}

#[test]
fn a_listed_socket_is_reached_by_a_confined_process_until_its_image_is_refused() {
    let mut node = Node::start();
    let server = Server::start();
    let scope = node.scope;
    for name in ["stream", "datagram"] {
        let listed = key(scope, &server.path(name));
        node.maps().allow_unix_socket(listed).unwrap();
    }
    let mut actor = node.enter_confined();
    for (way, _) in server.ways() {
        actor.attempt(&way).unwrap();
    }
    assert_eq!(node.other_refusals(), []);
    node.attest(&actor, 0, level::NONE);
    for (way, _) in server.ways() {
        assert_eq!(actor.attempt(&way), Err("EPERM".into()), "{way}");
        node.refusal(Cause::ImageRefused);
    }
}

/// Nothing keeps these actors from changing what a path means: to them a list says nothing.
#[test]
fn a_listed_socket_is_refused_to_a_process_that_is_not_confined() {
    let mut node = Node::start();
    let server = Server::start();
    let scope = node.scope;
    for name in ["stream", "datagram"] {
        let listed = key(scope, &server.path(name));
        node.maps().allow_unix_socket(listed).unwrap();
    }
    let mut actor = node.attested(level::IMAGE);
    for (way, _) in server.ways() {
        assert_eq!(actor.attempt(&way), Err("EPERM".into()), "{way}");
        node.refusal(Cause::UnixSocket);
    }
}

/// A path of the full length needs no NUL, and an abstract name begins with one.
#[test]
fn a_path_is_told_whole_whatever_ends_or_begins_it() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let path = format!("/{}", "x".repeat(107));
    // Python itself demands room for a NUL.
    let way = format!(
        "import ctypes, struct
s = socket.socket(socket.AF_UNIX)
address = struct.pack('=H108s', socket.AF_UNIX, {path:?}.encode())
if ctypes.CDLL(None, use_errno=True).connect(s.fileno(), address, len(address)):
    raise OSError(ctypes.get_errno(), 'connect')"
    );
    assert_eq!(actor.attempt(&way), Err("EPERM".into()));
    assert_eq!(node.refusal(Cause::UnixSocket).path, key(0, &path).path);
    let abstracted = "socket.socket(socket.AF_UNIX).connect('\\0name')";
    assert_eq!(actor.attempt(abstracted), Err("EPERM".into()));
    assert_eq!(node.refusal(Cause::UnixSocket).path, key(0, "\0name").path);
}

#[test]
fn sockets_without_a_name_stay_as_they_are() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    actor.run("a, b = socket.socketpair()\na.send(b'x')\nassert b.recv(1) == b'x'");
    assert_eq!(node.other_refusals(), []);
}
