//! Services behind the proxy of the machine: reached through its tunnels, with the secret that it wants.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use lanyard_protocol::{broker::UpstreamProxy, record::Outcome};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::world::{NAME, SECRET, World, within};

/// `corp:new`, encoded.
const GRANTED: &str = "Proxy-Authorization: Basic Y29ycDpuZXc=\r\n";

/// A proxy on the loopback, and the head of each request to it.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(service: SocketAddr, refuses: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move { carry(client, service, refuses, &seen).await });
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn told(&self, except: &[&str]) -> UpstreamProxy {
        UpstreamProxy {
            host: self.address.ip().to_string(),
            port: self.address.port().into(),
            has_secret: true,
            except: except.iter().map(|name| (*name).to_owned()).collect(),
        }
    }
}

async fn carry(
    mut client: TcpStream,
    service: SocketAddr,
    refuses: Option<&'static str>,
    seen: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let is_granted = head.contains(GRANTED);
    seen.lock().unwrap().push(head);
    let answer = match refuses {
        Some(answer) => answer,
        None if !is_granted => "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        None => "HTTP/1.1 200 Connection established\r\nVia: corp\r\n\r\n",
    };
    client.write_all(answer.as_bytes()).await.unwrap();
    if answer.contains(" 200 ") {
        let mut service = TcpStream::connect(service).await.unwrap();
        let _ = copy_bidirectional(&mut client, &mut service).await;
    }
}

async fn world(refuses: Option<&'static str>, except: &[&str]) -> (World, Proxy) {
    let mut world = World::start().await;
    let port = u16::try_from(world.state.grants[0].port).unwrap();
    let proxy = Proxy::start(([127, 0, 0, 1], port).into(), refuses).await;
    let told = proxy.told(except);
    world
        .change(|state| state.upstream_proxy = Some(told))
        .await;
    (world, proxy)
}

#[tokio::test]
async fn a_service_is_reached_through_the_proxy_and_proven_behind_it() {
    within(async {
        let (world, proxy) = world(None, &["other.example"]).await;
        let mut client = world.client().await;
        client.send(world.get("/echo")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        let request = world.service.seen.borrow().requests[0].clone();
        assert!(
            request.contains(&format!("authorization: Bearer {SECRET}\n")),
            "{request}"
        );
        assert!(!request.contains("proxy-authorization"), "{request}");
        // What was out of date is obtained anew, once.
        let heads = proxy.heads();
        let place = format!("{NAME}:{}", world.state.grants[0].port);
        assert_eq!(heads.len(), 2, "{heads:?}");
        for head in &heads {
            assert!(head.starts_with(&format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n")));
            assert!(!head.contains(SECRET), "{head}");
        }
        // The next request takes the tunnel that is there.
        client.send(world.get("/")).await;
        client.reply().await;
        assert_eq!(proxy.heads().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_excepted_is_reached_without_it() {
    within(async {
        let (world, proxy) = world(None, &[NAME]).await;
        let mut client = world.client().await;
        client.send(world.get("/")).await;
        let reply = client.reply().await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        assert!(proxy.heads().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_refuses_or_talks_nonsense_leads_nowhere() {
    for (answer, says) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "the proxy answered 403"),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "the proxy answered 407",
        ),
        ("SSH-2.0-other\r\n\r\n", "not understood"),
    ] {
        within(async {
            let (world, proxy) = world(Some(answer), &[]).await;
            let mut client = world.client().await;
            client.send(world.get("/")).await;
            let reply = client.reply().await;
            assert!(reply.starts_with("HTTP/1.1 502"), "{reply}");
            assert!(reply.contains(says), "{reply}");
            assert!(world.service.seen.borrow().requests.is_empty());
            // What the service speaks is asked once before the client is answered, and once for the request.
            assert!(proxy.heads().len() <= 4, "{:?}", proxy.heads());
            assert_eq!(
                world.agent.ended().await.outcome,
                Outcome::ServiceUnreachable
            );
        })
        .await;
    }
}
