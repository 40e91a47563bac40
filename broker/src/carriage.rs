//! How a connection to a name is carried: what the grants of the scope say of that name and port, and what the
//! client begins with.

use lanyard_access::{
    desired::DesiredAgent,
    grant::{Protocol, Tls},
    host::{DnsName, Host},
    port::Port,
};

/// What grants there are for a name and a port, whoever may use them and whether they live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Requests are read and decided.
    pub(crate) requests: bool,
    /// TLS is carried as it is.
    pub(crate) passthrough: bool,
    /// A connection is carried unread.
    pub(crate) stream: bool,
}

impl Offered {
    /// What the grants of `agent` say of that name and port.
    pub(crate) fn of(agent: &DesiredAgent, name: &DnsName, port: Port) -> Self {
        let mut offered = Self::default();
        for grant in &agent.grants {
            let resource = &grant.resource;
            if !matches!(&resource.host, Host::Name(host) if host == name) {
                continue;
            }
            let is_port = resource.port == port;
            match (resource.protocol, resource.tls) {
                (Protocol::Https, Tls::Passthrough) => offered.passthrough |= is_port,
                (Protocol::Https | Protocol::Mcp, _) => {
                    offered.requests |= is_port || resource.plain_port() == Some(port);
                }
                (Protocol::Http, _) => offered.requests |= is_port,
                (Protocol::Tcp, _) => offered.stream |= is_port,
                (Protocol::Udp, _) => {}
            }
        }
        // Where nothing is granted any more, a request is told why.
        offered.requests |= offered == Self::default();
        offered
    }
}

/// How a connection is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carriage {
    /// Unread.
    Stream,
    /// TLS, ended by nobody on the way.
    Passthrough,
    /// HTTP over TLS that ends here.
    Tls,
    /// HTTP in the clear.
    Plain,
}

/// What is known once the client's first byte is: whoever waits for the service to speak first never sends
/// one, and is carried unread where nothing else is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is decided.
    Carry(Carriage),
    /// The first byte decides.
    Look,
}

/// The first byte of a TLS record that begins a handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;

impl Offered {
    /// What is known before the client says anything.
    pub(crate) const fn before(self) -> Step {
        if self.stream && !self.requests && !self.passthrough {
            Step::Carry(Carriage::Stream)
        } else {
            Step::Look
        }
    }

    /// How a client that begins with that byte is carried; nothing when no grant is for it. Where requests
    /// are to be decided, they are: what is carried unread comes last.
    pub(crate) const fn after(self, first: u8) -> Option<Carriage> {
        let is_tls = first == HANDSHAKE;
        if self.requests {
            Some(if is_tls {
                Carriage::Tls
            } else {
                Carriage::Plain
            })
        } else if is_tls && self.passthrough {
            Some(Carriage::Passthrough)
        } else if self.stream {
            Some(Carriage::Stream)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: Offered = Offered {
        requests: true,
        passthrough: false,
        stream: false,
    };
    const PASSTHROUGH: Offered = Offered {
        requests: false,
        passthrough: true,
        stream: false,
    };
    const STREAM: Offered = Offered {
        requests: false,
        passthrough: false,
        stream: true,
    };

    #[test]
    fn a_service_that_speaks_first_is_not_waited_out() {
        assert_eq!(STREAM.before(), Step::Carry(Carriage::Stream));
        assert_eq!(REQUESTS.before(), Step::Look);
        assert_eq!(PASSTHROUGH.before(), Step::Look);
    }

    #[test]
    fn the_first_byte_tells_tls_from_the_rest() {
        assert_eq!(REQUESTS.after(0x16), Some(Carriage::Tls));
        assert_eq!(REQUESTS.after(b'G'), Some(Carriage::Plain));
        assert_eq!(PASSTHROUGH.after(0x16), Some(Carriage::Passthrough));
        assert_eq!(PASSTHROUGH.after(b'G'), None);
        assert_eq!(STREAM.after(0x16), Some(Carriage::Stream));
    }

    #[test]
    fn what_can_be_decided_is_decided() {
        let all = Offered {
            requests: true,
            passthrough: true,
            stream: true,
        };
        assert_eq!(all.after(0x16), Some(Carriage::Tls));
        assert_eq!(all.after(b'G'), Some(Carriage::Plain));
        let unread = Offered {
            requests: false,
            ..all
        };
        assert_eq!(unread.after(0x16), Some(Carriage::Passthrough));
        assert_eq!(unread.after(b'G'), Some(Carriage::Stream));
    }
}
