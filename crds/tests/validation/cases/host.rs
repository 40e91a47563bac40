//! Rows of the addresses and networks that grants lead to.

use lanyard_crds::kind::Kind;
use serde_json::json;

use super::{
    Case,
    Verdict::{self, Accepted, Refused},
    create,
};

const HOST: &str = "spec.resource.host";
const UNSPECIFIED: Verdict = Refused(HOST, "names no host: write the one address that is meant");
const HOST_BITS: Verdict = Refused(
    HOST,
    "has bits behind its length: write the first address of the network, for example 10.1.0.0/16",
);
const EVERYTHING: Verdict = Refused(
    HOST,
    "is every address there is: write the networks that are meant",
);
const HOLDS_IPV4: Verdict = Refused(
    HOST,
    "holds every IPv4 address in its IPv6 form (::ffff:0:0/96): write a longer prefix, and IPv4 networks by themselves",
);
const ONE_BY_ONE: Verdict = Refused(
    HOST,
    "is a network of loopback, link-local or multicast addresses, which are granted one by one: write the one address that is meant",
);
const VIRTUAL: Verdict = Refused(
    HOST,
    "is among the virtual addresses that Lanyard hands out for names: write the name",
);
const DNS_PORT: Verdict = Refused(
    "spec.resource.port",
    "is the port of DNS, and within an agent's scope that is always Lanyard's own resolver: names are looked up without a grant, and nothing else is reached there",
);

pub(super) fn rows() -> Vec<Case> {
    let mut rows: Vec<Case> = hosts()
        .into_iter()
        .flat_map(|(host, verdict)| {
            ["TCP", "UDP"].map(|protocol| row(host, 5432, protocol, verdict))
        })
        .collect();
    for protocol in ["TCP", "UDP"] {
        rows.push(row("10.1.2.3", 53, protocol, DNS_PORT));
        rows.push(row("10.1.2.3", 54, protocol, Accepted));
    }
    rows.push(row("api.example.com", 53, "HTTPS", DNS_PORT));
    rows
}

fn row(host: &str, port: u16, protocol: &str, verdict: Verdict) -> Case {
    let changes = [
        ("/resource/host", json!(host)),
        ("/resource/port", json!(port)),
        ("/resource/protocol", json!(protocol)),
    ];
    create(Kind::AccessGrant, &changes, verdict)
}

fn hosts() -> [(&'static str, Verdict); 40] {
    [
        ("10.1.2.3", Accepted),
        ("0.0.0.0", UNSPECIFIED),
        ("::", UNSPECIFIED),
        ("0.0.0.0/32", UNSPECIFIED),
        ("::/128", UNSPECIFIED),
        ("127.0.0.1", Accepted),
        ("169.254.169.254", Accepted),
        ("10.0.0.0/8", Accepted),
        ("10.1.2.3/32", Accepted),
        ("10.1.2.3/8", HOST_BITS),
        ("2001:db8::/32", Accepted),
        ("2001:db8::1/32", HOST_BITS),
        ("0.0.0.0/0", EVERYTHING),
        ("::/0", EVERYTHING),
        ("0.0.0.0/1", Accepted),
        ("128.0.0.0/1", Accepted),
        ("8000::/1", Accepted),
        ("::/1", HOLDS_IPV4),
        ("::/80", HOLDS_IPV4),
        ("::8000:0:0/81", HOLDS_IPV4),
        ("::fffe:0:0/95", HOLDS_IPV4),
        ("::fffe:0:0/96", Accepted),
        ("127.0.0.0/8", ONE_BY_ONE),
        ("127.1.0.0/16", ONE_BY_ONE),
        ("126.0.0.0/7", Accepted),
        ("169.254.0.0/16", ONE_BY_ONE),
        ("169.254.169.0/24", ONE_BY_ONE),
        ("169.254.0.0/15", Accepted),
        ("fe80::/10", ONE_BY_ONE),
        ("fe80::/64", ONE_BY_ONE),
        ("224.0.0.0/4", ONE_BY_ONE),
        ("ff02::/16", ONE_BY_ONE),
        ("198.19.0.7", VIRTUAL),
        ("198.18.0.7", Accepted),
        ("198.19.0.0/16", VIRTUAL),
        ("198.19.4.0/24", VIRTUAL),
        ("198.18.0.0/15", Accepted),
        ("fd6c:616e:7961:7264::7", VIRTUAL),
        ("fd6c:616e:7961:7264::/64", VIRTUAL),
        ("fd00::/8", Accepted),
    ]
}
