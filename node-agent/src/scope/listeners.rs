//! The sockets of a scope's broker. The node agent opens and keeps them: connections wait in them while a
//! broker starts, and nobody takes their ports while one is dead.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use lanyard_node_agent_abi::process::ScopeSettings;

use crate::kernel::namespace;

/// The sockets of one address family.
struct Pair {
    tcp: TcpListener,
    dns: UdpSocket,
}

/// Where a broker listens.
pub struct Listeners {
    /// The cookie of their network namespace.
    namespace: u64,
    /// The network namespace, if it is another than the machine's.
    network: Option<OwnedFd>,
    v4: Pair,
    v6: Option<Pair>,
}

impl Listeners {
    /// Opens them on free ports. A machine without IPv6 has none of that family, and what would be led to
    /// them is refused.
    pub fn open() -> io::Result<Self> {
        let v4 = Pair {
            tcp: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
            dns: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
        };
        let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0))
            .ok()
            .zip(UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).ok());
        Ok(Self {
            network: None,
            namespace: namespace::cookie_of(v4.tcp.as_fd())?,
            v4,
            v6: v6.map(|(tcp, dns)| Pair { tcp, dns }),
        })
    }

    /// Opens them in another network namespace.
    pub fn open_in(network: OwnedFd) -> io::Result<Self> {
        let opened = namespace::within(network.as_fd(), Self::open)?;
        Ok(Self {
            network: Some(network),
            ..opened
        })
    }

    /// The network namespace that they are in, if it is another than the machine's.
    pub const fn network(&self) -> Option<&OwnedFd> {
        self.network.as_ref()
    }

    /// Their ports, as the kernel programs read them, with what else holds in the scope.
    pub fn settings(&self, marks: u32) -> io::Result<ScopeSettings> {
        let tcp = |pair: &Pair| pair.tcp.local_addr().map(|address| address.port().to_be());
        let dns = |pair: &Pair| pair.dns.local_addr().map(|address| address.port().to_be());
        let (tcp6, dns6) = match &self.v6 {
            Some(pair) => (tcp(pair)?, dns(pair)?),
            None => (0, 0),
        };
        Ok(ScopeSettings {
            tcp4: tcp(&self.v4)?,
            tcp6,
            dns4: dns(&self.v4)?,
            dns6,
            marks,
            reserved: 0,
            namespace: self.namespace,
        })
    }

    /// The sockets that hear whoever reaches them.
    pub fn servers(&self) -> Vec<(BorrowedFd<'_>, u8)> {
        const TCP: u8 = 6;
        const UDP: u8 = 17;
        let pairs = [Some(&self.v4), self.v6.as_ref()].into_iter().flatten();
        pairs
            .flat_map(|pair| [(pair.tcp.as_fd(), TCP), (pair.dns.as_fd(), UDP)])
            .collect()
    }

    /// Their descriptors, in the order in which a broker expects them.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let pairs = [Some(&self.v4), self.v6.as_ref()].into_iter().flatten();
        pairs
            .flat_map(|pair| [pair.tcp.as_fd(), pair.dns.as_fd()])
            .collect()
    }
}
