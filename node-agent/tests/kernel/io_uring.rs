//! Connections and sends by `io_uring`, also by a thread of the kernel that polls for them. What `lanyard run` starts
//! cannot make a ring; the kernel programs do not rely on it.

use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level};

use super::{
    actor::Actor,
    destination::{Destination, Family},
    node::Node,
    peer::Peer,
};

/// A ring of one entry (`include/uapi/linux/io_uring.h`), and what is done by it.
const RING: &str = "
import ctypes, mmap, struct
libc = ctypes.CDLL(None, use_errno=True)
SETUP, ENTER, POLLED = 425, 426, 2
CONNECT, SEND, SENDMSG = 16, 26, 9

class Ring:
    def __init__(self, flags):
        parameters = ctypes.create_string_buffer(120)
        struct.pack_into('<II', parameters, 8, flags, 0)
        self.flags, self.fd = flags, libc.syscall(SETUP, 1, parameters)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), 'io_uring_setup')
        self.sq = struct.unpack_from('<7I', parameters, 40)
        self.cq = struct.unpack_from('<6I', parameters, 80)
        self.submissions = mmap.mmap(self.fd, 8192, offset=0)
        self.completions = mmap.mmap(self.fd, 8192, offset=0x8000000)
        self.entries = mmap.mmap(self.fd, 4096, offset=0x10000000)

    def do(self, opcode, fd, address, length, offset):
        self.entries[:64] = struct.pack('<BBHiQQIIQ24x', opcode, 0, 0, fd, offset, address, length, 0, 1)
        tail, = struct.unpack_from('<I', self.submissions, self.sq[1])
        struct.pack_into('<I', self.submissions, self.sq[6], 0)
        struct.pack_into('<I', self.submissions, self.sq[1], tail + 1)
        wake = 2 if self.flags & POLLED else 0
        if libc.syscall(ENTER, self.fd, 1, 1, 1 | wake, None, 0) < 0:
            raise OSError(ctypes.get_errno(), 'io_uring_enter')
        head, = struct.unpack_from('<I', self.completions, self.cq[0])
        mask, = struct.unpack_from('<I', self.completions, self.cq[2])
        _, result = struct.unpack_from('<Qi', self.completions, self.cq[5] + (head & mask) * 16)
        struct.pack_into('<I', self.completions, self.cq[0], head + 1)
        if result < 0:
            raise OSError(-result, 'in the ring')
        return result

def address(host, port):
    packed = struct.pack('=HH4s8x', socket.AF_INET, socket.htons(port), socket.inet_aton(host))
    return ctypes.create_string_buffer(packed, 16)

def connect_by(ring, host, port, kind=socket.SOCK_STREAM):
    global s
    s, to = socket.socket(socket.AF_INET, kind), address(host, port)
    s.settimeout(None)
    ring.do(CONNECT, s.fileno(), ctypes.addressof(to), 0, 16)

def send_by(ring, data):
    content = ctypes.create_string_buffer(data)
    return ring.do(SEND, s.fileno(), ctypes.addressof(content), len(data), 0)

def send_to_by(ring, data, host, port):
    made, to, content = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), address(host, port), ctypes.create_string_buffer(data)
    part = ctypes.create_string_buffer(struct.pack('=QQ', ctypes.addressof(content), len(data)))
    message = ctypes.create_string_buffer(struct.pack('=QI4xQQQQi4x', ctypes.addressof(to), 16, ctypes.addressof(part), 1, 0, 0, 0))
    return ring.do(SENDMSG, made.fileno(), ctypes.addressof(message), 1, 0)
";
/// `IORING_SETUP_SQPOLL`, and none.
const KINDS: [u32; 2] = [0, 2];

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

fn connect(actor: &mut Actor, to: &Destination) -> Result<(), String> {
    let code = format!("connect_by(ring, {:?}, {})", to.host(), to.port());
    actor.attempt(&code).map(drop)
}

#[test]
fn a_ring_connects_to_what_is_granted_and_to_nothing_else() {
    let mut node = Node::start();
    let (peer, to) = host();
    let (other, elsewhere) = host();
    let slot = node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    let mut outside = node.outside();
    for kind in KINDS {
        for actor in [&mut actor, &mut outside] {
            actor.run(RING);
            actor.run(&format!("ring = Ring({kind})"));
        }
        connect(&mut outside, &elsewhere).unwrap();
        other.accept();

        assert_eq!(
            connect(&mut actor, &elsewhere),
            Err("EPERM".into()),
            "{kind}"
        );
        let event = node.refusal(Cause::NoGrant);
        assert_eq!(
            event.tgid, actor.pid,
            "{kind}: the ring's thread is the process's own"
        );
        assert!(other.has_nobody());

        connect(&mut actor, &to).unwrap();
        let mut accepted = peer.accept();
        actor.run("assert send_by(ring, b'one') == 3");
        assert_eq!(accepted.receive(3), "one", "{kind}");
        node.end_at(slot, 0);
        actor.run("assert send_by(ring, b'two') == 3");
        node.refusal(Cause::GrantEnded);
        assert!(accepted.has_nothing(), "{kind}");
        node.end_at(slot, super::node::NEVER);
    }
}

#[test]
fn a_ring_sends_no_datagram_to_what_is_not_granted() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let mut outside = node.outside();
    let send = format!("send_to_by(ring, b'x', '{}', port)", Family::V4.real());
    for kind in KINDS {
        outside.run(RING);
        outside.run(&format!(
            "ring = Ring({kind})
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
r.bind(('{}', 0))
r.settimeout(5)
port = r.getsockname()[1]",
            Family::V4.real()
        ));
        outside.run(&format!("assert {send} == 1 and r.recv(1) == b'x'"));
        let port = outside.run("port");
        actor.run(RING);
        actor.run(&format!("ring = Ring({kind})\nport = {port}"));
        assert_eq!(actor.attempt(&send), Err("EPERM".into()), "{kind}");
        node.refusal(Cause::NoGrant);
        outside.run("r.setblocking(False)");
        assert_eq!(outside.attempt("r.recv(1)"), Err("EAGAIN".into()), "{kind}");
    }
}
