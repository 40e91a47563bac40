//! Where a process may want to go, in each of the ways it can say so.

use std::net::{IpAddr, SocketAddr};

use super::network::{REAL4, REAL6, VIRTUAL4, VIRTUAL6};

/// How a process names a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// IPv4 as `::ffff:a.b.c.d`, through an IPv6 socket.
    Mapped,
}

impl Family {
    pub(crate) const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Mapped];

    /// The address of a host that a direct grant leads to.
    pub(crate) fn real(self) -> IpAddr {
        match self {
            Self::V4 | Self::Mapped => REAL4,
            Self::V6 => REAL6,
        }
    }

    /// An address that only the broker carries.
    pub(crate) fn imaginary(self) -> IpAddr {
        match self {
            Self::V4 | Self::Mapped => VIRTUAL4,
            Self::V6 => VIRTUAL6,
        }
    }

    pub(crate) fn to(self, address: IpAddr, port: u16) -> Destination {
        Destination {
            family: self,
            address: SocketAddr::new(address, port),
        }
    }
}

/// An address and a port, and how a process names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) family: Family,
    pub(crate) address: SocketAddr,
}

impl Destination {
    /// What a process says, and what it is told by getpeername.
    pub(crate) fn host(&self) -> String {
        match self.family {
            Family::V4 | Family::V6 => self.address.ip().to_string(),
            Family::Mapped => format!("::ffff:{}", self.address.ip()),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// As the kernel programs keep addresses.
    pub(crate) fn bytes(&self) -> [u8; 16] {
        match self.address.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        }
    }
}
