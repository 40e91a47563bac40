//! Requests that two readers may read in two ways: what the client gets, and what arrives at the service, which
//! is nothing, or requests that can be read in one way only.

mod bodies;
mod heads;
mod http2;
mod paths;
mod replies;

use std::borrow::Cow;

use lanyard_protocol::broker::HttpRule;

use crate::{
    client::Client,
    wiretap::{Arrived, Wiretap},
    world::{NAME, SECRET, World, within},
};

/// One case. Its bytes are followed at once by an ordinary request for [`SENTINEL`]: a disagreement on where a
/// request ends would show in what becomes of that.
struct Case {
    name: &'static str,
    /// What is sent; `{h}` stands for the host.
    sent: Cow<'static, [u8]>,
    /// The statuses that come back. The connection is closed unless the last is that of the sentinel.
    gets: &'static [u16],
    /// The requests that arrive, each with its body.
    arrives: &'static [&'static str],
}

const SENTINEL: &str = "/sentinel";
/// Asked over another connection, when the case is over.
const CONTROL: &str = "/control";

/// One that is refused, and ends its connection.
fn refused(
    name: &'static str,
    status: &'static [u16],
    sent: impl Into<Cow<'static, [u8]>>,
) -> Case {
    Case {
        name,
        sent: sent.into(),
        gets: status,
        arrives: &[],
    }
}

/// One that is carried as that, and the connection serves the next.
fn carried(
    name: &'static str,
    arrives: &'static [&'static str],
    sent: impl Into<Cow<'static, [u8]>>,
) -> Case {
    Case {
        name,
        sent: sent.into(),
        gets: &[200, 200],
        arrives,
    }
}

const BAD: &[u16] = &[400];
/// Refused by the broker's own rules, which know where the request ends: the next one is served.
const MISDIRECTED: &[u16] = &[421, 200];
const UNDERSTOOD_NOT: &[u16] = &[400, 200];

impl Case {
    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = &self.sent[..];
        while let Some(at) = rest.windows(3).position(|window| window == b"{h}") {
            bytes.extend_from_slice(&rest[..at]);
            bytes.extend_from_slice(host.as_bytes());
            rest = &rest[at + 3..];
        }
        bytes.extend_from_slice(rest);
        bytes
    }

    /// What differs from what is expected.
    async fn differs(&self, lab: &mut Lab) -> Option<String> {
        let host = lab.wiretap.host();
        let mut client = connect(&lab.world, &lab.wiretap).await;
        let mut bytes = self.bytes(&host);
        bytes.extend_from_slice(get(SENTINEL, &host).as_bytes());
        client.offer(&bytes).await;
        client.until_or_end(&format!("\r\n\r\n{SENTINEL}")).await;
        let gets = statuses(&client.text());
        let text = client.text();

        let arrived = lab.arrived().await;
        let lines = match lines(&arrived) {
            Ok(lines) => lines,
            Err(why) => return Some(format!("{}: {why}", self.name)),
        };
        let is_answered = gets.last() == Some(&200) && gets.len() > 1;
        let mut expected = self.arrives.to_vec();
        if is_answered {
            expected.push("GET /sentinel");
        }
        let holds = text.contains(SECRET);
        (gets != self.gets || lines != expected || holds).then(|| {
            format!(
                "{}:\n  got {gets:?}, not {:?}\n  arrived {lines:?}, not {expected:?}\n  {arrived:?}\n  {text}",
                self.name, self.gets
            )
        })
    }
}

/// Whole requests as cases name them, without the control, which came last.
fn lines(arrived: &[Arrived]) -> Result<Vec<String>, String> {
    let mut lines: Vec<String> = arrived.iter().filter_map(shown).collect();
    match lines.pop() {
        Some(last) if last == format!("GET {CONTROL}") => Ok(lines),
        Some(_) | None => Err(format!("the control did not come last: {arrived:?}")),
    }
}

/// A whole request as cases name it. What was broken off is none.
fn shown(arrived: &Arrived) -> Option<String> {
    match arrived {
        Arrived::Whole {
            line,
            headers,
            body,
        } => {
            let secret = format!("authorization: Bearer {SECRET}\n");
            if headers.matches("authorization:").count() != 1 || !headers.contains(&secret) {
                return Some(format!("{line} without its one credential: {headers}"));
            }
            Some(if body.is_empty() {
                line.clone()
            } else {
                format!("{line} {body}")
            })
        }
        Arrived::Part => None,
        Arrived::Malformed(what) => Some(format!("malformed: {what}")),
    }
}

async fn connect(world: &World, wiretap: &Wiretap) -> Client {
    let stream = world.connect(Some(wiretap.tag(world))).await;
    Client::handshake(stream, &world.root, NAME, true)
        .await
        .unwrap()
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn statuses(text: &str) -> Vec<u16> {
    let replies = text.split("HTTP/1.1 ").skip(1);
    replies
        .filter_map(|reply| reply.get(..3)?.parse().ok())
        .collect()
}

/// A world with a wiretap, and a connection of its own to see how far things are.
struct Lab {
    world: World,
    wiretap: Wiretap,
    control: Client,
}

impl Lab {
    async fn new() -> Self {
        let mut world = World::start().await;
        let wiretap = Wiretap::start(&mut world, false).await;
        let control = connect(&world, &wiretap).await;
        Self {
            world,
            wiretap,
            control,
        }
    }

    /// What arrived before something that is asked now.
    async fn arrived(&mut self) -> Vec<Arrived> {
        let control = get(CONTROL, &self.wiretap.host());
        self.control.send(control).await;
        assert!(self.control.reply().await.starts_with("HTTP/1.1 200"));
        self.wiretap.arrived()
    }

    async fn try_all(&mut self, cases: &[Case]) {
        let mut differences = Vec::new();
        for case in cases {
            differences.extend(case.differs(self).await);
        }
        none(&differences);
    }
}

fn none(differences: &[String]) {
    let count = differences.len();
    assert!(count == 0, "{count} differ:\n{}", differences.join("\n"));
}

#[tokio::test]
async fn where_a_body_ends_is_read_in_one_way() {
    within(async { Lab::new().await.try_all(&bodies::framed()).await }).await;
}

#[tokio::test]
async fn chunks_and_trailers_are_read_in_one_way() {
    within(async { Lab::new().await.try_all(&bodies::chunked()).await }).await;
}

#[tokio::test]
async fn lines_and_fields_are_read_in_one_way() {
    within(async { Lab::new().await.try_all(&heads::written()).await }).await;
}

#[tokio::test]
async fn who_is_asked_and_for_what_is_read_in_one_way() {
    within(async { Lab::new().await.try_all(&heads::meant()).await }).await;
}

#[tokio::test]
async fn a_rule_for_one_path_is_no_way_to_another() {
    within(async {
        let mut lab = Lab::new().await;
        let rule = |path: &str| HttpRule {
            methods: vec!["GET".into()],
            path: path.into(),
        };
        let rules = ["/orders/**", SENTINEL, CONTROL].map(rule);
        lab.world
            .change(|state| state.grants[0].http = rules.into())
            .await;
        lab.try_all(&paths::cases()).await;
    })
    .await;
}
