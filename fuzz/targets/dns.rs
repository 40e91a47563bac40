//! Whatever is asked, only the bound name is answered with data, and that is its address.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lanyard_broker::fuzzing::{NAME, V4, V6, dns, dns_observed};
use libfuzzer_sys::fuzz_target;

const A: u16 = 1;
const AAAA: u16 = 28;
const IN: u16 = 1;
/// A datagram without EDNS holds so much, and one that is never in parts (RFC 1035, 4.2.1; RFC 9715).
const PLAIN: usize = 512;
const UNBROKEN: usize = 1232;

fuzz_target!(|query: &[u8]| {
    let Some((reply, refused)) = dns(query) else {
        assert!(
            query.len() < 12 || query[2] & 0x80 != 0,
            "a query without an answer"
        );
        return;
    };
    assert_eq!(reply[..2], query[..2], "the id of another");
    assert!(reply[2] & 0x80 != 0, "no reply");
    assert!(reply.len() <= PLAIN, "{} bytes", reply.len());
    let code = code(&reply);
    let [answers, authorities] = [6, 8].map(|at| number(&reply, at));
    let asked = question(query);
    if answers > 0 {
        let (name, kind, class) = asked.clone().expect("data for what is no question");
        assert_eq!((name.as_str(), class, answers, code), (NAME, IN, 1, 0));
        let address: &[u8] = match kind {
            A => &V4,
            AAAA => &V6,
            other => panic!("data of type {other}"),
        };
        assert!(reply.windows(address.len()).any(|window| window == address));
    }
    let is_nothing = code == 3;
    assert_eq!(refused.is_some(), is_nothing, "{refused:?} with {code}");
    if is_nothing {
        assert!(
            asked.is_none_or(|(name, ..)| name != NAME),
            "the bound name is none"
        );
    }
    if answers == 0 && (code == 0 || is_nothing) {
        assert_eq!(authorities, 1, "nothing says how long that holds");
    }
    observed(query);
});

fn observed(query: &[u8]) {
    let addresses: Vec<IpAddr> = (0..20)
        .flat_map(|n| {
            [
                Ipv4Addr::new(192, 0, 2, n).into(),
                Ipv6Addr::from(u128::from(n)).into(),
            ]
        })
        .collect();
    let Some((name, reply)) = dns_observed(query, &addresses) else {
        return;
    };
    let (asked, ..) = question(query).expect("a lookup of no question");
    assert_eq!(asked, name);
    assert_ne!(name, NAME, "the bound name is looked up");
    assert!(reply.len() <= UNBROKEN, "{} bytes", reply.len());
}

/// The one question, read from the wire (RFC 1035, 4.1): its name in lower case, type and class.
fn question(query: &[u8]) -> Option<(String, u16, u16)> {
    if query.len() < 12 || number(query, 4) != 1 {
        return None;
    }
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => break,
            1..=63 => labels.push(query.get(at..at + length)?.to_ascii_lowercase()),
            // Nothing stands before it that it could point to.
            _ => return None,
        }
        at += length;
    }
    let name = String::from_utf8_lossy(&labels.join(&b'.')).into_owned();
    query.get(at..at + 4)?;
    Some((name, number(query, at), number(query, at + 2)))
}

/// The response code, of which a record of EDNS at the end has the upper bits (RFC 6891, 6.1.3).
fn code(reply: &[u8]) -> u16 {
    let lower = u16::from(reply[3] & 0xf);
    match number(reply, 10) {
        0 => lower,
        _ => u16::from(reply[reply.len() - 6]) << 4 | lower,
    }
}

fn number(message: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([message[at], message[at + 1]])
}
