//! The same in HTTP/2, to a service that speaks it, and to one that does not: what HTTP/1.1 would read otherwise
//! arrives at neither.

mod cases;

use tokio::io::{AsyncRead, AsyncWrite};

use self::cases::Case;
use super::{CONTROL, SENTINEL, lines, none};
use crate::{
    client::tls,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RESET, Told, block, frame,
        put_text,
    },
    wiretap::{Arrived, Wiretap},
    world::{NAME, World, within},
};

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

type Connection = Frames<Box<dyn Stream>>;

/// `ENHANCE_YOUR_CALM` (RFC 9113, 7).
const CALM: u32 = 0xb;

/// A world with a wiretap, and a connection of its own to see how far things are.
struct Lab {
    world: World,
    wiretap: Wiretap,
    /// Whether clients speak TLS, and the service HTTP/2; else they do not, and it speaks HTTP/1.1.
    http2: bool,
    control: Connection,
    asked: u32,
}

impl Lab {
    async fn new(http2: bool) -> Self {
        let mut world = World::start().await;
        let wiretap = Wiretap::start(&mut world, http2).await;
        let control = connect(&world, &wiretap, http2).await;
        Self {
            world,
            wiretap,
            http2,
            control,
            asked: 1,
        }
    }

    /// An ordinary request.
    fn get(&self, stream: u32, path: &str) -> Vec<u8> {
        let fields = [
            (":method", "GET"),
            (":scheme", "{s}"),
            (":authority", "{h}"),
            (":path", path),
        ];
        let flags = END_HEADERS | END_STREAM;
        frame(HEADERS, flags, stream, &self.block(&fields))
    }

    /// Headers, with the scheme for `{s}` and the host for `{h}`.
    fn block(&self, fields: &[(&str, &str)]) -> Vec<u8> {
        let scheme = if self.http2 { "https" } else { "http" };
        let host = self.wiretap.host();
        let filled = |text: &str| text.replace("{s}", scheme).replace("{h}", &host);
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (filled(name), filled(value)))
            .collect();
        block(&fields)
    }

    /// What arrived before something that is asked now.
    async fn arrived(&mut self) -> Vec<Arrived> {
        let control = self.get(self.asked, CONTROL);
        self.control.send(&control).await;
        let stream = self.asked;
        let status = 200;
        assert_eq!(self.control.told().await, Told::Status { stream, status });
        self.asked += 2;
        self.wiretap.arrived()
    }

    /// Sends a request as stream 1 and an ordinary one as stream 3, and gives what becomes of both.
    async fn outcome(&self, request: &[u8]) -> String {
        let mut client = connect(&self.world, &self.wiretap, self.http2).await;
        client.send(request).await;
        client.send(&self.get(3, SENTINEL)).await;
        let (mut first, mut sentinel) = (None, None);
        while first.is_none() || sentinel.is_none() {
            let (stream, what) = match client.told().await {
                Told::Status { stream, status } => (stream, status.to_string()),
                Told::Reset { stream, code } => (stream, format!("reset {code}")),
                Told::GoneAway(code) => return format!("gone away {code}"),
                Told::Closed => return "closed".into(),
            };
            let place = if stream == 1 {
                &mut first
            } else {
                &mut sentinel
            };
            place.get_or_insert(what);
        }
        [first, sentinel].map(Option::unwrap_or_default).join(", ")
    }

    async fn try_all(&mut self, cases: &[Case]) {
        let mut differences = Vec::new();
        for case in cases {
            let gets = self.outcome(&case.frames(self)).await;
            let lines = match lines(&self.arrived().await) {
                Ok(lines) => lines,
                Err(why) => {
                    differences.push(format!("{}: {why}", case.name));
                    continue;
                }
            };
            let mut expected = case.arrives.to_vec();
            expected.extend(gets.ends_with(", 200").then_some("GET /sentinel"));
            // The two may overtake one another.
            let (mut one, mut other) = (lines.clone(), expected.clone());
            one.sort_unstable();
            other.sort_unstable();
            if gets != case.gets || one != other {
                let Case {
                    name, gets: wanted, ..
                } = case;
                differences.push(format!(
                    "{name}:\n  got {gets}, not {wanted}\n  arrived {lines:?}, not {expected:?}"
                ));
            }
        }
        none(&differences);
    }
}

async fn connect(world: &World, wiretap: &Wiretap, encrypted: bool) -> Connection {
    let stream = world.connect(Some(wiretap.tag(world))).await;
    let stream: Box<dyn Stream> = if encrypted {
        let stream = tls(stream, &world.root, NAME, true, &[b"h2"])
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Box::new(stream)
    } else {
        Box::new(stream)
    };
    Frames::open(stream).await
}

/// Both ways.
async fn try_both_ways(cases: impl Fn() -> Vec<Case>) {
    for http2 in [false, true] {
        within(async { Lab::new(http2).await.try_all(&cases()).await }).await;
    }
}

#[tokio::test]
async fn a_head_of_http2_is_read_in_one_way() {
    try_both_ways(cases::heads).await;
}

#[tokio::test]
async fn what_a_request_of_http2_asks_is_read_in_one_way() {
    try_both_ways(cases::asked).await;
}

#[tokio::test]
async fn a_body_of_http2_is_read_in_one_way() {
    try_both_ways(cases::bodies).await;
}

/// Floods end their own connection, and nothing else.
async fn is_cut_off(flood: impl Fn(&Lab) -> Vec<u8>) -> usize {
    let mut lab = Lab::new(true).await;
    let mut client = connect(&lab.world, &lab.wiretap, true).await;
    client.send(&flood(&lab)).await;
    let end = loop {
        match client.told().await {
            Told::Status { .. } | Told::Reset { .. } => {}
            end @ (Told::GoneAway(_) | Told::Closed) => break end,
        }
    };
    assert_eq!(end, Told::GoneAway(CALM));
    lines(&lab.arrived().await).unwrap().len()
}

#[tokio::test]
async fn requests_that_are_broken_off_at_once_end_their_connection() {
    const MANY: u32 = 5000;
    within(async {
        let arrived = is_cut_off(|lab| {
            let request = |number| {
                let stream = 2 * number + 1;
                [
                    lab.get(stream, "/a"),
                    frame(RESET, 0, stream, &[0, 0, 0, 8]),
                ]
            };
            (0..MANY).flat_map(request).flatten().collect()
        })
        .await;
        assert!(arrived < 200, "{arrived}");
    })
    .await;
}

#[tokio::test]
async fn a_head_without_an_end_ends_its_connection() {
    within(async {
        let arrived = is_cut_off(|lab| {
            let mut bytes = lab.get(1, "/a");
            // Not the end of the head.
            bytes[4] = END_STREAM;
            for number in 0..2000 {
                let field = block(&[(format!("x-{number}"), "a".repeat(4000))]);
                bytes.extend_from_slice(&frame(CONTINUATION, 0, 1, &field));
            }
            bytes
        })
        .await;
        assert_eq!(arrived, 0);
    })
    .await;
}

#[tokio::test]
async fn a_head_without_an_end_of_nothing_ends_its_connection() {
    within(async {
        let arrived = is_cut_off(|lab| {
            let mut bytes = lab.get(1, "/a");
            bytes[4] = END_STREAM;
            for _ in 0..100_000 {
                bytes.extend_from_slice(&frame(CONTINUATION, 0, 1, b""));
            }
            bytes
        })
        .await;
        assert_eq!(arrived, 0);
    })
    .await;
}

#[tokio::test]
async fn a_head_that_grows_as_it_is_read_ends_its_connection() {
    within(async {
        let arrived = is_cut_off(|lab| {
            let mut head = lab.block(&[
                (":method", "GET"),
                (":scheme", "{s}"),
                (":authority", "{h}"),
                (":path", "/a"),
            ]);
            // Remembered once, and then named by one byte each time (RFC 7541, 6.1 and 6.2.1).
            head.push(0x40);
            put_text(&mut head, b"x-a");
            put_text(&mut head, &[b'a'; 4000]);
            head.extend_from_slice(&[0x80 | 0x3e; 10_000]);
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)
        })
        .await;
        assert_eq!(arrived, 0);
    })
    .await;
}

/// A head, in as many frames as it takes.
fn head(flags: u8, block: &[u8]) -> Vec<u8> {
    /// What a frame may be long where nothing else was agreed on (RFC 9113, 6.5.2).
    const MOST: usize = 1 << 14;
    let mut pieces = block.chunks(MOST).peekable();
    let mut kind = HEADERS;
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        let first = if kind == HEADERS { flags } else { 0 };
        bytes.extend_from_slice(&frame(kind, first | last, 1, piece));
        kind = CONTINUATION;
    }
    bytes
}

impl Case {
    fn frames(&self, lab: &Lab) -> Vec<u8> {
        let end = |is_last| if is_last { END_STREAM } else { 0 };
        let is_alone = self.data.is_empty() && self.trailers.is_empty();
        let mut bytes = head(end(is_alone), &lab.block(&self.fields));
        for (number, data) in self.data.iter().enumerate() {
            let is_last = number + 1 == self.data.len() && self.trailers.is_empty();
            bytes.extend_from_slice(&frame(DATA, end(is_last), 1, data.as_bytes()));
        }
        if !self.trailers.is_empty() {
            let block = lab.block(&self.trailers);
            bytes.extend_from_slice(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
        }
        bytes
    }
}
