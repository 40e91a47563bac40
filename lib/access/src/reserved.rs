//! Addresses that no grant for a network reaches: a grant has to name the very address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a grant for a network that holds `address` leaves it closed.
///
/// These are the machine itself (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3) with the unspecified address, which
/// the kernel takes for it; link-local addresses (RFC 3927; RFC 4291, 2.5.6), where clouds answer with
/// credentials; and the virtual addresses that stand for names. The kernel programs draw the same line.
pub fn is_reserved(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_unspecified() || v4.is_link_local() || is_virtual_v4(v4)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || is_virtual_v6(v6)
        }
    }
}

/// The networks of the addresses that Lanyard hands out for names.
pub const VIRTUAL: [&str; 2] = ["198.19.0.0/16", "fd6c:616e:7961:7264::/64"];

/// Whether `address` is one of those that Lanyard hands out for names: whether it lies in [`VIRTUAL`].
pub fn is_virtual(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_virtual_v4(v4),
        IpAddr::V6(v6) => is_virtual_v6(v6),
    }
}

const fn is_virtual_v4(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [198, 19, ..])
}

const fn is_virtual_v6(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0xfd6c, 0x616e, 0x7961, 0x7264, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::Prefix;

    #[test]
    fn this_machine_metadata_services_and_virtual_addresses_are_reserved() {
        for reserved in [
            "127.0.0.1",
            "127.255.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "febf::1",
            "198.19.0.1",
            "fd6c:616e:7961:7264::1",
        ] {
            assert!(is_reserved(reserved.parse().unwrap()), "{reserved}");
        }
        for open in [
            "10.0.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.0.1",
            "198.18.0.1",
            "198.20.0.1",
            "::2",
            "fec0::1",
            "fd6c:616e:7961:7265::1",
            "2001:db8::1",
        ] {
            assert!(!is_reserved(open.parse().unwrap()), "{open}");
        }
    }

    #[test]
    fn virtual_addresses_are_those_of_two_ranges() {
        for address in ["198.19.255.255", "fd6c:616e:7961:7264:ffff::"] {
            assert!(is_virtual(address.parse().unwrap()), "{address}");
        }
        for address in ["198.18.255.255", "127.0.0.1", "fd6c:616e:7961:7263::"] {
            assert!(!is_virtual(address.parse().unwrap()), "{address}");
        }
        for network in VIRTUAL {
            let network: Prefix = network.parse().unwrap();
            assert!(is_virtual(network.address()), "{network}");
            let wider = network.widened(network.length() - 1);
            assert_ne!(
                is_virtual(wider.address()),
                wider.address() != network.address()
            );
        }
    }
}
