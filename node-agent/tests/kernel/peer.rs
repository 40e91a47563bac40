//! The other ends of connections: hosts, and the broker of a scope.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use lanyard_node_agent::kernel::namespace;
use lanyard_node_agent_abi::{
    process::ScopeSettings,
    tag::{SOCKET_LEVEL, SOCKET_OPTION_TAG, Tag},
};

use super::{
    destination::Family,
    wait::{LIMIT, until},
};

/// Something that listens.
pub(crate) struct Peer(TcpListener);

impl Peer {
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::at_port(address, 0)
    }

    pub(crate) fn at_port(address: IpAddr, port: u16) -> Self {
        let listener = TcpListener::bind((address, port)).expect("listen");
        listener.set_nonblocking(true).expect("set a listener");
        Self(listener)
    }

    /// Its socket, once more.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().expect("its own address").port()
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> Stream {
        let (stream, _) = until("a connection comes", || self.0.accept().ok());
        stream.set_nonblocking(false).expect("set a stream");
        stream.set_read_timeout(Some(LIMIT)).expect("set a stream");
        stream.set_write_timeout(Some(LIMIT)).expect("set a stream");
        Stream(stream)
    }

    /// Whether no connection waits.
    pub(crate) fn has_nobody(&self) -> bool {
        self.0
            .accept()
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// An accepted connection.
pub(crate) struct Stream(TcpStream);

impl Stream {
    /// What the kernel says of the other end.
    pub(crate) fn tag(&self) -> Option<Tag> {
        let mut bytes = [0_u8; Tag::SIZE];
        let mut length = libc::socklen_t::try_from(Tag::SIZE).expect("a small size");
        #[expect(
            unsafe_code,
            reason = "no safe wrapper takes a level that is not known to it"
        )]
        // SAFETY: the descriptor is open while it is borrowed; the kernel writes at most `length` bytes.
        let status = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                SOCKET_LEVEL,
                SOCKET_OPTION_TAG,
                bytes.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        (status == 0).then(|| Tag::from_bytes(&bytes))
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("send");
    }

    pub(crate) fn receive(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).expect("receive");
        String::from_utf8(bytes).expect("text")
    }

    /// Whether nothing has come that was not received, not even an end.
    pub(crate) fn has_nothing(&self) -> bool {
        self.0.set_nonblocking(true).expect("set a stream");
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).expect("set a stream");
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// The error that the connection ends with; none for an orderly end.
    pub(crate) fn end(&mut self) -> Option<ErrorKind> {
        match self.0.read(&mut [0]) {
            Ok(0) => None,
            Ok(_) => panic!("a byte came instead of an end"),
            Err(error) => Some(error.kind()),
        }
    }
}

/// A UDP socket that answers when the test says so.
pub(crate) struct Datagrams(UdpSocket);

impl Datagrams {
    pub(crate) fn at(address: IpAddr, port: u16) -> Self {
        let socket = UdpSocket::bind((address, port)).expect("bind");
        socket.set_read_timeout(Some(LIMIT)).expect("set a socket");
        Self(socket)
    }

    /// The socket, once more.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("its own address")
    }

    /// The next datagram, and who sent it.
    pub(crate) fn receive(&self) -> (String, SocketAddr) {
        let mut bytes = [0; 2048];
        let (length, from) = self.0.recv_from(&mut bytes).expect("receive a datagram");
        (String::from_utf8_lossy(&bytes[..length]).into_owned(), from)
    }

    pub(crate) fn answer(&self, text: &str, to: SocketAddr) {
        self.0.send_to(text.as_bytes(), to).expect("answer");
    }

    /// Whether nothing that was sent before has come. What a test sends itself goes last, so that anything
    /// before it is seen first.
    pub(crate) fn has_nothing(&self) -> bool {
        let sender = UdpSocket::bind((self.address().ip(), 0)).expect("bind");
        sender.send_to(b"the test", self.address()).expect("send");
        self.receive().0 == "the test"
    }
}

/// Where the broker of a scope listens.
pub(crate) struct Broker {
    pub(crate) tcp4: Peer,
    pub(crate) tcp6: Peer,
    pub(crate) dns4: Datagrams,
    pub(crate) dns6: Datagrams,
}

impl Broker {
    pub(crate) fn listen() -> Self {
        let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        Self {
            tcp4: Peer::at(v4),
            tcp6: Peer::at(v6),
            dns4: Datagrams::at(v4, 0),
            dns6: Datagrams::at(v6, 0),
        }
    }

    /// Where a connection of that family arrives.
    pub(crate) fn tcp(&self, family: Family) -> &Peer {
        match family {
            Family::V4 | Family::Mapped => &self.tcp4,
            Family::V6 => &self.tcp6,
        }
    }

    /// Where a question of that family arrives.
    pub(crate) fn dns(&self, family: Family) -> &Datagrams {
        match family {
            Family::V4 | Family::Mapped => &self.dns4,
            Family::V6 => &self.dns6,
        }
    }

    pub(crate) fn ports(&self) -> ScopeSettings {
        ScopeSettings {
            tcp4: self.tcp4.port().to_be(),
            tcp6: self.tcp6.port().to_be(),
            dns4: self.dns4.address().port().to_be(),
            dns6: self.dns6.address().port().to_be(),
            marks: 0,
            reserved: 0,
            namespace: namespace::cookie_of(self.tcp4.0.as_fd()).unwrap(),
        }
    }
}

/// Whether `address` can be connected to from outside any scope.
pub(crate) fn reach(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, LIMIT)
}
