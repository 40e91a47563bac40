//! HTTP/2 frame by frame (RFC 9113, 4), with headers as they are given, whatever they are.

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// What a peer says about requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// A reply begins, with that status.
    Status { stream: u32, status: u16 },
    /// A request is broken off, with that code (RFC 9113, 7).
    Reset { stream: u32, code: u32 },
    /// The connection ends, with that code.
    GoneAway(u32),
    /// It ended.
    Closed,
}

/// The client's end of a connection.
pub(crate) struct Frames<S> {
    stream: S,
    read: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Says that HTTP/2 is spoken, and that no header is to be remembered (RFC 7541, 4.2).
    pub(crate) async fn open(stream: S) -> Self {
        let mut this = Self {
            stream,
            read: BytesMut::new(),
        };
        this.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        this.send(&frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])).await;
        this
    }

    /// Sends what the other side still takes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        if self.stream.write_all(bytes).await.is_ok() {
            drop(self.stream.flush().await);
        }
    }

    /// What is said next.
    pub(crate) async fn told(&mut self) -> Told {
        loop {
            let Some((kind, flags, stream, payload)) = self.frame().await else {
                return Told::Closed;
            };
            let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match kind {
                HEADERS => {
                    let status = status(&payload);
                    return Told::Status { stream, status };
                }
                RESET => {
                    let code = code(0);
                    return Told::Reset { stream, code };
                }
                // A graceful end names the last stream there can be, and is followed by another.
                GO_AWAY if code(4) != 0 => return Told::GoneAway(code(4)),
                SETTINGS if flags & ACK == 0 => self.send(&frame(SETTINGS, ACK, 0, b"")).await,
                _ => {}
            }
        }
    }

    async fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        const HEAD: usize = 9;
        loop {
            if self.read.len() >= HEAD {
                let length = u32::from_be_bytes([0, self.read[0], self.read[1], self.read[2]]);
                let length = usize::try_from(length).unwrap();
                if self.read.len() >= HEAD + length {
                    let head = self.read.split_to(HEAD);
                    let payload = self.read.split_to(length).to_vec();
                    let stream = (&head[5..]).get_u32() & 0x7fff_ffff;
                    return Some((head[3], head[4], stream, payload));
                }
            }
            if !matches!(self.stream.read_buf(&mut self.read).await, Ok(1..)) {
                return None;
            }
        }
    }
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Headers, each written out (RFC 7541, 6.2.2).
pub(crate) fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        put_text(&mut bytes, name.as_ref());
        put_text(&mut bytes, value.as_ref());
    }
    bytes
}

/// A text that is not compressed (RFC 7541, 5.2).
pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    const MOST: usize = 127;
    if text.len() < MOST {
        bytes.push(u8::try_from(text.len()).unwrap());
    } else {
        bytes.push(127);
        let mut rest = text.len() - MOST;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap());
    }
    bytes.extend_from_slice(text);
}

/// The status of a reply, which is its first field.
fn status(block: &[u8]) -> u16 {
    // Changes of the table's size come before (RFC 7541, 4.2).
    let start = block.iter().position(|byte| byte >> 5 != 1).unwrap();
    let block = &block[start..];
    match block[0] {
        // RFC 7541, appendix A.
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        0x48 | 0x08 | 0x18 => {
            let length = usize::from(block[1] & 0x7f);
            let text = &block[2..2 + length];
            if block[1] & 0x80 == 0 {
                std::str::from_utf8(text).unwrap().parse().unwrap()
            } else {
                digits(text)
            }
        }
        other => panic!("{other:x} is no status"),
    }
}

/// Three digits, as they are compressed (RFC 7541, appendix B).
fn digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut number = 0;
    for _ in 0..3 {
        let mut take = |count: usize| {
            bits.by_ref()
                .take(count)
                .fold(0, |all, bit| all << 1 | u16::from(bit))
        };
        let first = take(5);
        // 0 to 2 take five bits, 3 to 9 one more.
        let digit = if first < 3 {
            first
        } else {
            (first << 1 | take(1)) - 0x19 + 3
        };
        number = number * 10 + digit;
    }
    number
}

#[test]
fn a_status_is_read_however_it_is_written() {
    assert_eq!(status(&[0x20, 0x88]), 200);
    assert_eq!(status(b"\x48\x03421"), 421);
    // 403: 011010 00000 011001, and seven ones.
    assert_eq!(
        status(&[0x08, 0x83, 0b0110_1000, 0b0000_1100, 0b1111_1111]),
        403
    );
    assert_eq!(block(&[("a", "x".repeat(300))])[3..5], [127, 0b1010_1101]);
}
