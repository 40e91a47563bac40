//! Where a grant leads: what its host may be.

use lanyard_access::{
    host::Host,
    prefix::Prefix,
    reserved::{VIRTUAL, is_virtual},
};
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use super::resource::Protocol;
use crate::{
    rule::rule,
    text::{DNS_NAME, text},
};

const NO_HOST: &str = "is not a host: write one DNS name, for example api.example.com, one IP address, or a network, for example 10.1.0.0/16; no scheme, port, path or wildcard";
const UNSPECIFIED: &str = "names no host: write the one address that is meant";
const HOST_BITS: &str =
    "has bits behind its length: write the first address of the network, for example 10.1.0.0/16";
const EVERYTHING: &str = "is every address there is: write the networks that are meant";
const HOLDS_IPV4: &str = "holds every IPv4 address in its IPv6 form (::ffff:0:0/96): write a longer prefix, and IPv4 networks by themselves";
const ONE_BY_ONE: &str = "is a network of loopback, link-local or multicast addresses, which are granted one by one: write the one address that is meant";
const VIRTUAL_ADDRESS: &str =
    "is among the virtual addresses that Lanyard hands out for names: write the name";

/// Networks whose addresses are granted one by one: loopback, link-local (where clouds answer with
/// credentials) and multicast.
const SINGLE: [&str; 5] = [
    "127.0.0.0/8",
    "169.254.0.0/16",
    "fe80::/10",
    "224.0.0.0/4",
    "ff00::/8",
];

/// A DNS name, one IP address or a network.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    let within = |ranges: &[&str]| {
        let one = |range: &&str| format!("cidr('{range}').containsCIDR(cidr(self))");
        ranges.iter().map(one).collect::<Vec<_>>().join(" || ")
    };
    let among = |ranges: &[&str]| {
        let one = |range: &&str| format!("cidr('{range}').containsIP(self)");
        ranges.iter().map(one).collect::<Vec<_>>().join(" || ")
    };
    let of_network =
        |expression: &str, message| rule(&format!("!isCIDR(self) || {expression}"), message);
    let rules: [Value; 8] = [
        rule(
            // Not every reader of CIDRs refuses a number with a leading zero, which is octal to some.
            &format!(
                "isIP(self) || (isCIDR(self) && !self.matches('/0[0-9]|[.]0[0-9]|(^|:)0[0-9]+[.]')) || self.matches('{DNS_NAME}')"
            ),
            NO_HOST,
        ),
        rule("!isIP(self) || !ip(self).isUnspecified()", UNSPECIFIED),
        of_network(
            "!cidr(self).ip().isUnspecified() || !(self.endsWith('/128') || (self.endsWith('/32') && !self.contains(':')))",
            UNSPECIFIED,
        ),
        of_network("cidr(self) == cidr(self).masked()", HOST_BITS),
        of_network("cidr(self).prefixLength() > 0", EVERYTHING),
        // What holds this neighbour with a shorter prefix holds all of ::ffff:0:0/96, which itself is no CIDR
        // to the API server.
        of_network(
            "cidr(self).prefixLength() == 0 || cidr(self).prefixLength() >= 96 || !cidr(self).containsIP('::fffe:0:0')",
            HOLDS_IPV4,
        ),
        of_network(&format!("!({})", within(&SINGLE)), ONE_BY_ONE),
        rule(
            &format!(
                "!(isIP(self) && ({})) && !(isCIDR(self) && ({}))",
                among(&VIRTUAL),
                within(&VIRTUAL)
            ),
            VIRTUAL_ADDRESS,
        ),
    ];
    text(253, &rules)
}

/// The checked form, if it is a host that a grant of this protocol can lead to.
pub(super) fn check(text: &str, protocol: Protocol) -> Result<Host, String> {
    let host: Host = text.parse().map_err(|error| format!("{error}"))?;
    match (protocol, &host) {
        (Protocol::Https | Protocol::Mcp | Protocol::Http, Host::Address(_) | Host::Network(_)) => {
            Err(NEEDS_NAME.to_owned())
        }
        (Protocol::Udp, Host::Name(_)) => Err(NEEDS_ADDRESS.to_owned()),
        (Protocol::Tcp | Protocol::Udp, Host::Address(address)) if is_virtual(*address) => {
            Err(VIRTUAL_ADDRESS.to_owned())
        }
        (Protocol::Tcp | Protocol::Udp, Host::Network(network)) => {
            check_network(network).map(|()| host)
        }
        (Protocol::Https | Protocol::Mcp | Protocol::Http | Protocol::Tcp, Host::Name(_))
        | (Protocol::Tcp | Protocol::Udp, Host::Address(_)) => Ok(host),
    }
}

fn check_network(network: &Prefix) -> Result<(), String> {
    let lies_within = |range: &&str| {
        let range: Result<Prefix, _> = range.parse();
        range.is_ok_and(|range| range.covers(network))
    };
    if SINGLE.iter().any(lies_within) {
        return Err(ONE_BY_ONE.to_owned());
    }
    if VIRTUAL.iter().any(lies_within) {
        return Err(VIRTUAL_ADDRESS.to_owned());
    }
    Ok(())
}

pub(super) const NEEDS_NAME: &str = "is an address or a network, and HTTPS, HTTP and MCP need a name, which each request is held to: write the DNS name, or the protocol TCP";
pub(super) const NEEDS_ADDRESS: &str = "is a name, and UDP needs an address or a network, since the kernel looks up no names: write the IP address";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_a_network() {
        for range in SINGLE.into_iter().chain(VIRTUAL) {
            let host: Host = range.parse().unwrap();
            assert!(matches!(host, Host::Network(_)), "{range}");
        }
    }

    #[test]
    fn networks_within_special_ranges_are_refused_and_those_around_them_are_not() {
        for range in SINGLE.into_iter().chain(VIRTUAL) {
            let network: Prefix = range.parse().unwrap();
            assert!(check(range, Protocol::Tcp).is_err(), "{range}");
            let wider = network.widened(network.length() - 1);
            assert!(check(&wider.to_string(), Protocol::Udp).is_ok(), "{wider}");
        }
    }
}
