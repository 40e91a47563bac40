//! Names that nothing grants, in a scope that is only observed: looked up as this machine looks names up, and
//! answered as they are.

use std::net::IpAddr;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{DNSClass, RecordType},
};
use lanyard_access::host::DnsName;

use super::{
    PAYLOAD, address_record, authority, is_spoken, plain_name, question, reply_to, set_code,
};
use crate::{limits, scope::Names};

/// How long a datagram whoever does not speak EDNS takes (RFC 1035, 4.2.1).
const PLAIN: u16 = 512;

/// An ordinary question for a name that nothing binds.
#[derive(Debug, Clone)]
pub(super) struct Question {
    message: Message,
    /// The name.
    pub(super) name: DnsName,
}

/// What looking a name up gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Its addresses, at least one.
    Addresses(Vec<IpAddr>),
    /// There is no such name, or it has no address.
    Nothing,
    /// Nobody answered in time.
    Silence,
}

impl Found {
    /// What `addresses` say: each once, and no more than are answered.
    pub(super) fn of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut found = Vec::new();
        for address in addresses {
            if !found.contains(&address) && found.len() < limits::ADDRESSES {
                found.push(address);
            }
        }
        if found.is_empty() {
            Self::Nothing
        } else {
            Self::Addresses(found)
        }
    }
}

/// The question of a query, if the scope's own names are no answer to it and a lookup may be.
pub(super) fn unbound(query: &[u8], names: &Names) -> Option<Question> {
    let message = Message::from_vec(query).ok()?;
    let asked = question(&message).filter(|asked| asked.query_class == DNSClass::IN)?;
    let name = plain_name(&asked.name).filter(|name| names.addresses(name).is_none())?;
    is_spoken(&message).then_some(Question { message, name })
}

/// The reply. Every name has addresses alone: of other types there is no data.
pub(super) fn reply(asked: &Question, found: &Found) -> Option<Vec<u8>> {
    let question = question(&asked.message)?;
    let mut reply = reply_to(&asked.message, question);
    match found {
        Found::Addresses(addresses) => {
            let kind = question.query_type;
            let wanted = addresses.iter().filter(|address| {
                (kind == RecordType::A && address.is_ipv4())
                    || (kind == RecordType::AAAA && address.is_ipv6())
            });
            reply.answers = wanted
                .map(|address| address_record(question, *address))
                .collect();
            if reply.answers.is_empty() {
                reply.authorities.push(authority());
            }
        }
        Found::Nothing => {
            set_code(&mut reply, ResponseCode::NXDomain);
            reply.authorities.push(authority());
        }
        Found::Silence => set_code(&mut reply, ResponseCode::ServFail),
    }
    reply.to_vec().ok()
}

/// The reply as a datagram: where it is longer than whoever asked takes one, only that it is, so that he asks again
/// over TCP (RFC 2181, 9; RFC 6891, 6.2.5).
pub(super) fn datagram(asked: &Question, found: &Found) -> Option<Vec<u8>> {
    let whole = reply(asked, found)?;
    let edns = asked.message.edns.as_ref();
    let takes = edns.map_or(PLAIN, |edns| edns.max_payload().clamp(PLAIN, PAYLOAD));
    if whole.len() <= usize::from(takes) {
        return Some(whole);
    }
    let mut cut = reply_to(&asked.message, question(&asked.message)?);
    cut.metadata.truncation = true;
    cut.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{is_negative, names, query},
        *,
    };

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    fn asked(name: &str, kind: RecordType) -> Option<Question> {
        unbound(&query(name, kind).to_vec().unwrap(), &names())
    }

    fn replied(kind: RecordType, found: &Found) -> Message {
        let asked = asked("other.example.", kind).unwrap();
        Message::from_vec(&reply(&asked, found).unwrap()).unwrap()
    }

    #[test]
    fn a_bound_name_is_not_looked_up_and_any_other_is() {
        assert!(asked("api.example.com.", RecordType::A).is_none());
        let other = asked("Other.Example.", RecordType::A).unwrap();
        assert_eq!(other.name.as_str(), "other.example");
        assert!(asked("a b.example.", RecordType::A).is_none());
        assert!(unbound(&[0; 30], &names()).is_none());
    }

    #[test]
    fn each_family_is_answered_with_its_own_addresses() {
        let found = Found::of([V4, V6, V4]);
        for (kind, expected) in [(RecordType::A, V4), (RecordType::AAAA, V6)] {
            let reply = replied(kind, &found);
            let data: Vec<_> = reply
                .answers
                .iter()
                .map(|answer| answer.data.ip_addr())
                .collect();
            assert_eq!(data, [Some(expected)]);
        }
        let reply = replied(RecordType::TXT, &found);
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert!(is_negative(&reply));
        assert!(is_negative(&replied(RecordType::AAAA, &Found::of([V4]))));
    }

    #[test]
    fn a_name_that_is_none_and_a_silent_resolver_are_told_apart() {
        let nothing = replied(RecordType::A, &Found::of([]));
        assert_eq!(nothing.metadata.response_code, ResponseCode::NXDomain);
        assert!(is_negative(&nothing));
        let silence = replied(RecordType::A, &Found::Silence);
        assert_eq!(silence.metadata.response_code, ResponseCode::ServFail);
    }

    #[test]
    fn what_is_too_long_for_a_datagram_is_asked_for_again_over_tcp() {
        let name = format!("{}.example.", ["a".repeat(60), "b".repeat(60)].join("."));
        let many = Found::of((0..16).map(|n| IpAddr::from(std::net::Ipv6Addr::from(n))));
        let mut asked = asked(&name, RecordType::AAAA).unwrap();
        let whole = reply(&asked, &many).unwrap();
        assert!(whole.len() > usize::from(PLAIN));
        let cut = Message::from_vec(&datagram(&asked, &many).unwrap()).unwrap();
        assert!(cut.metadata.truncation && cut.answers.is_empty());
        assert_eq!(cut.queries, asked.message.queries);
        let mut edns = hickory_proto::op::Edns::new();
        edns.set_max_payload(4096);
        asked.message.edns = Some(edns);
        let fits = Message::from_vec(&datagram(&asked, &many).unwrap()).unwrap();
        assert!(!fits.metadata.truncation && fits.answers.len() == limits::ADDRESSES);
    }

    #[test]
    fn an_answer_with_the_most_addresses_fits_in_a_datagram() {
        let many = (0..200).map(|n| IpAddr::from(std::net::Ipv6Addr::from(n)));
        let asked = asked("other.example.", RecordType::AAAA).unwrap();
        let bytes = reply(&asked, &Found::of(many)).unwrap();
        assert!(
            bytes.len() <= usize::from(super::super::PAYLOAD),
            "{}",
            bytes.len()
        );
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!(reply.answers.len(), limits::ADDRESSES);
    }
}
