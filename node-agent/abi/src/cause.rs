//! Why the kernel refused something. Each cause has a counter of its own.

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal,)*) => {
        /// Why the kernel refused something.
        #[repr(u32)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Cause {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Cause {
            /// Every cause.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The cause of that number.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name, as counters show it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }
        }
    };
}

causes! {
    /// The process is in a scope, and no execution of it was seen.
    NoProcess = 1,
    /// The image was attested, and is not the agent.
    ImageRefused = 2,
    /// Nothing grants that destination.
    NoGrant = 3,
    /// The slot's deadline is past.
    GrantEnded = 4,
    /// A socket of a kind that nothing in a scope may have.
    SocketKind = 5,
    /// A packet of a socket that was never allowed to go anywhere.
    Untagged = 6,
    /// A held connection was not attested in time.
    HeldTooLong = 7,
    /// The scope has no broker for that address family.
    NoBroker = 8,
    /// A map or a socket's storage had no room.
    MapFull = 9,
    /// A packet to or from another peer than the one the socket was led to, or with options or headers that
    /// lead elsewhere.
    OtherPeer = 10,
    /// The destination is granted, at a better level of evidence than the process has.
    EvidenceTooLow = 11,
    /// A loopback address where a process outside the scope listens.
    OtherListener = 12,
    /// The node has not heard from whoever decides for longer than it may.
    LeaseEnded = 13,
    /// The process is traced by another.
    Traced = 14,
    /// A unix socket that the scope may not reach.
    UnixSocket = 15,
    /// A port that belongs to a broker.
    BrokerPort = 16,
    /// A socket option that would lead packets around the hooks.
    SocketOption = 17,
    /// The scope has used up its share of a map.
    QuotaUsedUp = 18,
}

/// How many counters there are: one for each cause, and those of [`lost`].
pub const COUNTERS: u32 = 32;

/// Counters of events that found no room in their ring.
pub mod lost {
    /// Ring `EXECS`.
    pub const EXECS: u32 = 24;
    /// Ring `REFUSALS`.
    pub const REFUSALS: u32 = 25;
    /// Ring `FLOWS`.
    pub const FLOWS: u32 = 26;
    /// Refusals that were counted and not told, for their scope had told its share of this second.
    pub const LIMITED: u32 = 27;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_counter() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_number(*cause as u32), Some(*cause));
            assert!((*cause as u32) < lost::EXECS);
        }
        assert_eq!(Cause::from_number(0), None);
    }
}
