//! Connections and names: who is let in, and where to.

use std::{io, net::Ipv4Addr};

use lanyard_access::reason::{AttestationReason, ConnectionReason};
use lanyard_node_agent_abi::{
    grant::carrier,
    process::level,
    tag::{Tag, side},
};
use lanyard_protocol::{broker::Level, record::Event};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

use crate::{
    client::Client,
    node_agent::Image,
    world::{ATTESTED, NAME, UNKNOWN, World, tcp_grant, within},
};

fn is_closed(result: &io::Result<usize>) -> bool {
    matches!(result, Ok(0) | Err(_))
}

#[tokio::test]
async fn a_connection_without_a_right_tag_is_closed_at_once() {
    within(async {
        let world = World::start().await;
        let right = world.tag();
        for wrong in [
            None,
            Some(Tag {
                side: side::CLIENT,
                ..right
            }),
            Some(Tag {
                carrier: carrier::DIRECT,
                ..right
            }),
            Some(Tag {
                carrier: carrier::NONE,
                ..right
            }),
            Some(Tag {
                level: level::NONE,
                ..right
            }),
            Some(Tag {
                protocol: 17,
                ..right
            }),
        ] {
            let stream = world.connect(wrong).await;
            let served = Client::handshake(stream, &world.root, NAME, true).await;
            assert!(served.is_err(), "{wrong:?}");
        }
        world.client().await;
    })
    .await;
}

#[tokio::test]
async fn a_held_connection_waits_for_its_attestation() {
    within(async {
        let world = World::start().await;
        let stream = world.connect(Some(world.held_tag(UNKNOWN))).await;
        let mut handshake = Box::pin(Client::handshake(stream, &world.root, NAME, true));
        // Another connection is served to its end meanwhile; the held one has got nothing.
        let mut other = world.client().await;
        other.send(world.get("/")).await;
        tokio::select! {
            biased;
            _ = &mut handshake => panic!("served before it was attested"),
            reply = other.reply() => assert!(reply.starts_with("HTTP/1.1 200")),
        }
        world.agent.set(|known| {
            known.images.insert(UNKNOWN, Image::Attested(Level::Image));
        });
        let mut client = handshake.await.unwrap();
        client.send(world.get("/")).await;
        assert!(client.reply().await.starts_with("HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test]
async fn a_held_connection_of_a_refused_image_is_closed() {
    within(async {
        let world = World::start().await;
        world.agent.set(|known| {
            known.images.insert(UNKNOWN, Image::Refused);
        });
        let mut stream = world.connect(Some(world.held_tag(UNKNOWN))).await;
        assert!(is_closed(&stream.read(&mut [0; 1]).await));
        let (reason, identity) = world
            .agent
            .event(|event| {
                let Event::ConnectionRefused {
                    reason, identity, ..
                } = event
                else {
                    return None;
                };
                Some((*reason, *identity))
            })
            .await;
        assert_eq!(reason, ConnectionReason::NoIdentity);
        assert_eq!(identity, Some(AttestationReason::NotListed));
        assert_eq!(world.service.seen.borrow().connections, 0);
    })
    .await;
}

#[tokio::test]
async fn an_image_that_was_not_observed_is_refused_by_what_the_kernel_knows_of_it() {
    within(async {
        let world = World::start().await;
        world.agent.set(|known| {
            known.images.insert(UNKNOWN, Image::NotObserved);
        });
        let tag = Tag {
            tgid: 99,
            ..world.held_tag(UNKNOWN)
        };
        let mut stream = world.connect(Some(tag)).await;
        assert!(is_closed(&stream.read(&mut [0; 1]).await));
        let pid = world
            .agent
            .event(|event| {
                let Event::ConnectionRefused { process, .. } = event else {
                    return None;
                };
                Some(process.pid)
            })
            .await;
        assert_eq!(pid, 99);
    })
    .await;
}

#[tokio::test]
async fn only_the_name_of_the_address_is_served() {
    within(async {
        let world = World::start().await;
        let stream = world.connect(Some(world.tag())).await;
        let other = Client::handshake(stream, &world.root, "other.example", true).await;
        assert!(other.is_err());

        let stream = world.connect(Some(world.tag())).await;
        let mut unnamed = Client::handshake(stream, &world.root, NAME, false)
            .await
            .unwrap();
        unnamed.send(world.get("/")).await;
        assert!(unnamed.reply().await.starts_with("HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test]
async fn a_held_connection_to_a_granted_address_is_joined_until_the_grant_ends() {
    within(async {
        let mut world = World::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tag = Tag {
            address: Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(),
            port: address.port().to_be(),
            ..world.held_tag(ATTESTED)
        };
        let mut early = world.connect(Some(tag)).await;
        assert!(is_closed(&early.read(&mut [0; 1]).await));

        world
            .change(|state| state.grants.push(tcp_grant(address)))
            .await;
        let mut client = world.connect(Some(tag)).await;
        let (mut service, _) = listener.accept().await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut got = [0; 4];
        service.read_exact(&mut got).await.unwrap();
        service.write_all(b"pong").await.unwrap();
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"pong");
        let allowed = |event: &Event| matches!(event, Event::ConnectionAllowed { .. });
        assert!(world.agent.events().iter().any(allowed));

        world.revoke().await;
        assert!(client.read(&mut got).await.is_err());
        assert!(is_closed(&service.read(&mut got).await));
    })
    .await;
}

#[tokio::test]
async fn names_are_answered_over_udp_and_tcp() {
    within(async {
        let world = World::start().await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(world.dns).await.unwrap();
        let mut reply = [0; 512];
        let bound = query(b"\x09localhost\x00");
        socket.send(&bound).await.unwrap();
        let length = socket.recv(&mut reply).await.unwrap();
        assert!(reply[..length].ends_with(&[198, 19, 0, 1]));

        let other = query(b"\x04evil\x07example\x00");
        for _ in 0..3 {
            socket.send(&other).await.unwrap();
            socket.recv(&mut reply).await.unwrap();
            assert_eq!(reply[3] & 0xf, 3, "NXDOMAIN");
        }
        let refusals = |event: &Event| matches!(event, Event::NameRefused { name, .. } if name == "evil.example.");
        world.agent.event(|event| refusals(event).then_some(())).await;
        assert_eq!(world.agent.events().iter().filter(|event| refusals(event)).count(), 1);

        let tag = Tag { carrier: carrier::RESOLVER, ..world.tag() };
        let mut stream = world.connect(Some(tag)).await;
        for _ in 0..2 {
            stream.write_u16(bound.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&bound).await.unwrap();
            let length = usize::from(stream.read_u16().await.unwrap());
            stream.read_exact(&mut reply[..length]).await.unwrap();
            assert!(reply[..length].ends_with(&[198, 19, 0, 1]));
        }
    })
    .await;
}

fn query(name: &[u8]) -> Vec<u8> {
    [b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0", name, b"\0\x01\0\x01"].concat()
}
