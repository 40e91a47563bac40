//! Names that nothing grants, where the agent is observed and where it is not.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use lanyard_node_agent_abi::grant::carrier;
use lanyard_protocol::record::Event;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UdpSocket,
};

use crate::world::{NAME, VIRTUAL, World, within};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn query() -> Vec<u8> {
    let mut query = Message::new(7, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(format!("{NAME}.")).unwrap();
    query.queries.push(Query::query(name, RecordType::A));
    query.to_vec().unwrap()
}

async fn asked_by_datagram(world: &World) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(world.dns).await.unwrap();
    socket.send(&query()).await.unwrap();
    let mut reply = [0; 1500];
    let length = within(socket.recv(&mut reply)).await.unwrap();
    Message::from_vec(&reply[..length]).unwrap()
}

async fn asked_by_stream(world: &World) -> Message {
    let tag = lanyard_node_agent_abi::tag::Tag {
        carrier: carrier::RESOLVER,
        ..world.tag()
    };
    let mut stream = world.connect(Some(tag)).await;
    let query = query();
    let length = u16::try_from(query.len()).unwrap();
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    stream.write_all(&query).await.unwrap();
    let length = within(stream.read_u16()).await.unwrap();
    let mut reply = vec![0; length.into()];
    within(stream.read_exact(&mut reply)).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

fn addresses(reply: &Message) -> Vec<IpAddr> {
    let answers = reply.answers.iter();
    answers.filter_map(|answer| answer.data.ip_addr()).collect()
}

#[tokio::test]
async fn an_observed_agent_gets_the_real_addresses_and_the_node_agent_is_told() {
    let mut world = World::start().await;
    world
        .change(|state| {
            state.observed = true;
            state.names.clear();
        })
        .await;
    for reply in [
        asked_by_datagram(&world).await,
        asked_by_stream(&world).await,
    ] {
        assert!(addresses(&reply).contains(&LOOPBACK), "{reply:?}");
    }
    let told = world.agent.observed();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].name, NAME);
    assert!(told[0].addresses.contains(&vec![127, 0, 0, 1]));
}

#[tokio::test]
async fn a_granted_name_keeps_its_virtual_address_where_the_agent_is_observed() {
    let mut world = World::start().await;
    world.change(|state| state.observed = true).await;
    let reply = asked_by_datagram(&world).await;
    assert_eq!(addresses(&reply), [IpAddr::V4(VIRTUAL)]);
    assert!(world.agent.observed().is_empty());
}

#[tokio::test]
async fn an_agent_that_is_not_observed_gets_nothing_and_is_recorded() {
    let mut world = World::start().await;
    world.change(|state| state.names.clear()).await;
    for reply in [
        asked_by_datagram(&world).await,
        asked_by_stream(&world).await,
    ] {
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
        assert!(addresses(&reply).is_empty());
    }
    assert!(world.agent.observed().is_empty());
    let is_refusal = |event: &Event| matches!(event, Event::NameRefused { .. });
    assert!(world.agent.events().iter().any(is_refusal));
}
