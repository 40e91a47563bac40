//! The versions of TLS and the key exchange that secures against what is recorded today and broken later, on both
//! legs, with somebody at the other end who knows nothing else.

use std::sync::Arc;

use rustls::{
    ProtocolVersion, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    version::{TLS12, TLS13},
};

use crate::{
    authority::Authority,
    client::{self, Client},
    service::Service,
    world::{NAME, World, within},
};

const EITHER: [(&SupportedProtocolVersion, ProtocolVersion); 2] = [
    (&TLS12, ProtocolVersion::TLSv1_2),
    (&TLS13, ProtocolVersion::TLSv1_3),
];

/// One that has X25519MLKEM768 and no other group.
fn hybrid() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    })
}

fn usual() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

async fn answers(world: &World, mut client: Client) {
    client.send(world.get("/")).await;
    let reply = client.reply().await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
}

#[tokio::test]
async fn a_client_may_speak_either_version() {
    within(async {
        let world = World::start().await;
        for (version, spoken) in EITHER {
            let stream = world.connect(Some(world.tag())).await;
            let config = client::config(&world.root, usual(), &[version]);
            let client = Client::with(stream, config, NAME).await.unwrap();
            assert_eq!(client.connection().protocol_version(), Some(spoken));
            answers(&world, client).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_may_have_the_hybrid_group_alone() {
    within(async {
        let world = World::start().await;
        let stream = world.connect(Some(world.tag())).await;
        let config = client::config(&world.root, hybrid(), &[&TLS13]);
        let client = Client::with(stream, config, NAME).await.unwrap();
        answers(&world, client).await;
    })
    .await;
}

#[tokio::test]
async fn a_service_may_speak_either_version() {
    within(async {
        for (version, spoken) in EITHER {
            let mut world = World::start().await;
            serve_instead(&mut world, usual(), version).await;
            answers(&world, world.client().await).await;
            let seen = world.service.seen.borrow().version;
            assert_eq!(seen, Some(spoken));
        }
    })
    .await;
}

#[tokio::test]
async fn a_service_may_have_the_hybrid_group_alone() {
    within(async {
        let mut world = World::start().await;
        serve_instead(&mut world, hybrid(), &TLS13).await;
        answers(&world, world.client().await).await;
    })
    .await;
}

/// Another service takes the place of the one that is granted.
async fn serve_instead(
    world: &mut World,
    provider: Arc<CryptoProvider>,
    version: &'static SupportedProtocolVersion,
) {
    let trusted = Authority::new("authority of another service");
    world.service = Service::with(&trusted, NAME, provider, &[version]).await;
    let port = world.service.address.port();
    world
        .change(|state| {
            state.grants[0].port = port.into();
            state.grants[0].ca_bundle = trusted.pem();
        })
        .await;
}
