//! Answers names: those bound in the scope, and no others. Nothing is ever forwarded, so that DNS is no way
//! out. Only where the agent is observed, and nothing refused to it, the others are looked up (see `observe.rs`).
//!
//! Everything that is not bound does not exist (NXDOMAIN): REFUSED would end a search list in some clients.
//! Negative answers carry an SOA, without which clients cannot tell how long they may be kept (RFC 2308).

mod observe;
pub(crate) mod service;

use std::{net::IpAddr, str::FromStr};

use hickory_proto::{
    op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, SOA},
    },
};
use lanyard_access::host::DnsName;

use crate::scope::Names;

/// How long an answer may be kept, in seconds: a new state of the scope is seen soon.
const TTL: u32 = 5;

/// How large a datagram the broker takes, as RFC 9715 advises. Its own answers about bound names never have
/// 512 bytes.
const PAYLOAD: u16 = 1232;

/// A query has at least a header (RFC 1035, 4.1.1).
const HEADER: usize = 12;

/// What is answered to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The reply.
    pub(crate) bytes: Vec<u8>,
    /// The name, if it was asked for and nothing binds it.
    pub(crate) refused: Option<String>,
}

/// Which virtual addresses lead to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone: it has no IPv6 listener, and clients shall not try it in vain.
    V4,
    /// Both.
    Both,
}

/// Answers one query; nothing when it deserves no answer.
pub(crate) fn answer(query: &[u8], names: &Names, families: Families) -> Option<Answer> {
    let header = Header::of(query)?;
    let Ok(message) = Message::from_vec(query) else {
        return header.refuse(ResponseCode::FormErr);
    };
    let Some(question) = question(&message) else {
        let is_query = message.metadata.op_code == OpCode::Query;
        return header.refuse(if is_query {
            ResponseCode::FormErr
        } else {
            ResponseCode::NotImp
        });
    };
    let mut reply = reply_to(&message, question);
    let mut refused = None;
    if !is_spoken(&message) {
        set_code(&mut reply, ResponseCode::BADVERS);
    } else if question.query_class != DNSClass::IN {
        set_code(&mut reply, ResponseCode::NotImp);
    } else if let Some(bound) = bound_name(&question.name, names) {
        match record(question, &bound, names, families) {
            Some(record) => reply.answers.push(record),
            None => reply.authorities.push(authority()),
        }
    } else {
        set_code(&mut reply, ResponseCode::NXDomain);
        reply.authorities.push(authority());
        refused = Some(question.name.to_ascii());
    }
    let bytes = reply.to_vec().ok()?;
    Some(Answer { bytes, refused })
}

/// The name that an observed agent asks for, and the reply with those addresses.
#[cfg(fuzzing)]
pub(crate) fn found(
    query: &[u8],
    names: &Names,
    addresses: &[IpAddr],
) -> Option<(String, Vec<u8>)> {
    let question = observe::unbound(query, names)?;
    let found = observe::Found::of(addresses.iter().copied());
    let reply = observe::reply(&question, &found)?;
    Some((question.name.to_string(), reply))
}

/// The one question of an ordinary query.
fn question(message: &Message) -> Option<&Query> {
    let is_query = message.metadata.op_code == OpCode::Query;
    match message.queries.as_slice() {
        [question] if is_query => Some(question),
        _ => None,
    }
}

/// Whether it comes in a version of EDNS that is spoken here, or without any.
fn is_spoken(message: &Message) -> bool {
    message.edns.as_ref().is_none_or(|edns| edns.version() == 0)
}

/// The part of a query that can be read even when the rest is broken.
struct Header {
    id: u16,
    op_code: OpCode,
}

impl Header {
    /// A reply (QR set) is never answered: two resolvers would answer each other for ever.
    fn of(query: &[u8]) -> Option<Self> {
        let header = query.get(..HEADER)?;
        let is_query = header[2] & 0x80 == 0;
        is_query.then(|| Self {
            id: u16::from_be_bytes([header[0], header[1]]),
            op_code: OpCode::from_u8((header[2] >> 3) & 0xf),
        })
    }

    fn refuse(&self, code: ResponseCode) -> Option<Answer> {
        let reply = Message::error_msg(self.id, self.op_code, code);
        let bytes = reply.to_vec().ok()?;
        Some(Answer {
            bytes,
            refused: None,
        })
    }
}

/// The question goes back as it came, in its own case: some clients check that (0x20 encoding).
fn reply_to(message: &Message, question: &Query) -> Message {
    let query = &message.metadata;
    let mut reply = Message::new(query.id, MessageType::Response, query.op_code);
    reply.metadata = Metadata::response_from_request(query);
    reply.metadata.recursion_available = true;
    reply.queries.push(question.clone());
    if let Some(asked) = &message.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        reply.edns = Some(edns);
    }
    reply
}

fn set_code(reply: &mut Message, code: ResponseCode) {
    reply.metadata.response_code = code;
    if let Some(edns) = &mut reply.edns {
        edns.set_rcode_high(code.high());
    }
}

/// Names compare without case (RFC 4343). A label with other than letters, digits, `-` and `_` is bound
/// nowhere.
fn bound_name(name: &Name, names: &Names) -> Option<DnsName> {
    let name = plain_name(name)?;
    names.addresses(&name).is_some().then_some(name)
}

/// The name as grants write it, if one can.
fn plain_name(name: &Name) -> Option<DnsName> {
    let labels = name.iter().map(std::str::from_utf8);
    let labels = labels.collect::<Result<Vec<_>, _>>().ok()?;
    if labels.iter().any(|label| label.contains('.')) {
        return None;
    }
    DnsName::from_str(&labels.join(".")).ok()
}

fn record(question: &Query, name: &DnsName, names: &Names, families: Families) -> Option<Record> {
    let addresses = names.addresses(name)?;
    match (question.query_type, families) {
        (RecordType::A, _) => Some(address_record(question, addresses.v4.into())),
        (RecordType::AAAA, Families::Both) => Some(address_record(question, addresses.v6.into())),
        _ => None,
    }
}

fn address_record(question: &Query, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(question.name.clone(), TTL, data)
}

/// The SOA of the root, which encloses every name. Its last field bounds how long a negative answer is
/// kept (RFC 2308, 4).
fn authority() -> Record {
    let soa = SOA::new(Name::root(), Name::root(), 1, 3600, 600, 86400, TTL);
    Record::from_rdata(Name::root(), TTL, RData::SOA(soa))
}

#[cfg(test)]
mod tests;
