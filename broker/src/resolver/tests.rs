//! Queries, and what is answered.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::opt::EdnsCode;
use lanyard_protocol::broker::{NameBinding, ScopeState};
use proptest::prelude::*;

use super::*;
use crate::scope::Scope;

const V4: [u8; 4] = [198, 19, 0, 7];
const V6: [u8; 16] = [
    0xfd, 0x6c, 0x61, 0x6e, 0x79, 0x61, 0x72, 0x64, 0, 0, 0, 0, 0, 0, 0, 7,
];

pub(super) fn names() -> Names {
    let state = ScopeState {
        agent: "default/bot".into(),
        names: vec![NameBinding {
            name: "api.example.com".into(),
            v4: V4.to_vec(),
            v6: V6.to_vec(),
        }],
        ..ScopeState::default()
    };
    Scope::try_from(state).unwrap().names
}

pub(super) fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::new(0x1234, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut name = Name::from_labels(labels.map(str::as_bytes)).unwrap();
    name.set_fqdn(true);
    query.queries.push(Query::query(name, kind));
    query
}

fn answered(query: &Message) -> (Message, Option<String>) {
    answered_for(query, Families::Both)
}

fn answered_for(query: &Message, families: Families) -> (Message, Option<String>) {
    let answer = answer(&query.to_vec().unwrap(), &names(), families).unwrap();
    assert!(answer.bytes.len() <= 512);
    (Message::from_vec(&answer.bytes).unwrap(), answer.refused)
}

pub(super) fn is_negative(reply: &Message) -> bool {
    let soa = |record: &Record| record.record_type() == RecordType::SOA && record.ttl <= 30;
    reply.answers.is_empty() && reply.authorities.iter().any(soa)
}

#[test]
fn names_that_are_not_bound_do_not_exist() {
    for name in [
        "example.com.",
        "evil.example.",
        "x.api.example.com.",
        "api.example.com.corp.example.",
        "com.",
        ".",
        "localhost.",
        "7.0.19.198.in-addr.arpa.",
        "a b.example.",
        "*.example.com.",
        "\u{e4}pi.example.com.",
    ] {
        for kind in [
            RecordType::A,
            RecordType::AAAA,
            RecordType::TXT,
            RecordType::HTTPS,
        ] {
            let (reply, refused) = answered(&query(name, kind));
            assert_eq!(
                reply.metadata.response_code,
                ResponseCode::NXDomain,
                "{name}"
            );
            assert!(is_negative(&reply), "{name}");
            assert!(refused.is_some(), "{name}");
        }
    }
}

#[test]
fn bound_names_have_their_virtual_addresses() {
    let (reply, refused) = answered(&query("api.example.com.", RecordType::A));
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    assert_eq!(reply.answers.len(), 1);
    assert_eq!(reply.answers[0].data, RData::A(A(Ipv4Addr::from(V4))));
    assert!(reply.answers[0].ttl <= 30);
    assert_eq!(refused, None);

    let (reply, _) = answered(&query("api.example.com.", RecordType::AAAA));
    assert_eq!(reply.answers[0].data, RData::AAAA(AAAA(Ipv6Addr::from(V6))));
}

#[test]
fn without_a_listener_for_it_a_bound_name_has_no_ipv6_address() {
    let aaaa = query("api.example.com.", RecordType::AAAA);
    let (reply, _) = answered_for(&aaaa, Families::V4);
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    assert!(is_negative(&reply));
    let a = query("api.example.com.", RecordType::A);
    assert_eq!(answered_for(&a, Families::V4).0.answers.len(), 1);
}

#[test]
fn other_types_of_a_bound_name_have_no_data() {
    for kind in [
        RecordType::HTTPS,
        RecordType::SVCB,
        RecordType::TXT,
        RecordType::MX,
        RecordType::CNAME,
        RecordType::ANY,
        RecordType::NS,
    ] {
        let (reply, refused) = answered(&query("api.example.com.", kind));
        assert_eq!(
            reply.metadata.response_code,
            ResponseCode::NoError,
            "{kind}"
        );
        assert!(is_negative(&reply), "{kind}");
        assert_eq!(refused, None);
    }
}

#[test]
fn names_are_compared_without_case_and_given_back_as_asked() {
    let asked = query("aPi.ExAmPlE.cOm.", RecordType::A);
    let bytes = answer(&asked.to_vec().unwrap(), &names(), Families::Both)
        .unwrap()
        .bytes;
    let name = b"\x03aPi\x07ExAmPlE\x03cOm\x00";
    assert_eq!(&bytes[12..12 + name.len()], name);
    let reply = Message::from_vec(&bytes).unwrap();
    assert_eq!(reply.answers.len(), 1);
    assert_eq!(reply.answers[0].name.to_ascii(), "aPi.ExAmPlE.cOm.");
}

#[test]
fn a_reply_belongs_to_its_query() {
    let (reply, _) = answered(&query("api.example.com.", RecordType::A));
    assert_eq!(reply.metadata.id, 0x1234);
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    assert!(reply.metadata.recursion_desired && reply.metadata.recursion_available);
    assert_eq!(reply.edns, None);
}

#[test]
fn edns_is_answered_with_edns() {
    let mut asked = query("api.example.com.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(4096).set_dnssec_ok(true);
    asked.edns = Some(edns.clone());
    let reply = answered(&asked).0.edns.unwrap();
    assert_eq!(reply.max_payload(), PAYLOAD);
    assert!(reply.flags().dnssec_ok);
    assert!(reply.option(EdnsCode::Cookie).is_none());

    edns.set_version(1);
    asked.edns = Some(edns);
    let (reply, _) = answered(&asked);
    // BADVERS and BADSIG share a number (RFC 6895, 2.3).
    let code = u16::from(reply.metadata.response_code);
    assert_eq!(code, u16::from(ResponseCode::BADVERS));
    assert!(reply.answers.is_empty());
}

#[test]
fn a_dot_within_a_label_is_no_border_of_labels() {
    let mut asked = query("x.", RecordType::A);
    let labels: [&[u8]; 2] = [b"api.example", b"com"];
    asked.queries[0].name = Name::from_labels(labels).unwrap();
    let (reply, _) = answered(&asked);
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
}

#[test]
fn what_is_no_ordinary_question_is_refused() {
    let ordinary = query("api.example.com.", RecordType::A);

    let mut chaos = ordinary.clone();
    chaos.queries[0].query_class = DNSClass::CH;
    assert_eq!(
        answered(&chaos).0.metadata.response_code,
        ResponseCode::NotImp
    );

    let mut update = ordinary.clone();
    update.metadata.op_code = OpCode::Status;
    assert_eq!(
        answered(&update).0.metadata.response_code,
        ResponseCode::NotImp
    );

    let mut two = ordinary.clone();
    two.queries.push(ordinary.queries[0].clone());
    assert_eq!(
        answered(&two).0.metadata.response_code,
        ResponseCode::FormErr
    );

    let mut none = ordinary.clone();
    none.queries.clear();
    assert_eq!(
        answered(&none).0.metadata.response_code,
        ResponseCode::FormErr
    );

    let bytes = ordinary.to_vec().unwrap();
    let cut = answer(&bytes[..bytes.len() - 1], &names(), Families::Both).unwrap();
    let cut = Message::from_vec(&cut.bytes).unwrap();
    assert_eq!(cut.metadata.response_code, ResponseCode::FormErr);
    assert_eq!(cut.metadata.id, 0x1234);
}

#[test]
fn replies_and_fragments_are_not_answered() {
    let mut reply = query("api.example.com.", RecordType::A);
    reply.metadata.message_type = MessageType::Response;
    assert_eq!(
        answer(&reply.to_vec().unwrap(), &names(), Families::Both),
        None
    );
    assert_eq!(answer(&[0; 11], &names(), Families::Both), None);
    assert_eq!(answer(&[], &names(), Families::Both), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        answer(&bytes, &names(), Families::Both);
    }

    #[test]
    fn no_damage_to_a_query_makes_it_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
    ) {
        let mut asked = query("api.example.com.", RecordType::A);
        asked.edns = Some(Edns::new());
        let mut bytes = asked.to_vec().unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(end.index(bytes.len() + 1));
        answer(&bytes, &names(), Families::Both);
    }

    #[test]
    fn only_the_bound_name_is_ever_answered_with_data(label in "[a-z0-9-]{1,20}", kind in any::<u16>()) {
        let (reply, _) = answered(&query(&format!("{label}.example.com."), RecordType::from(kind)));
        let is_bound = label == "api" && matches!(kind, 1 | 28);
        prop_assert_eq!(!reply.answers.is_empty(), is_bound);
    }
}
