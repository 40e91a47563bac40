//! TLS is passed on only if it names the one host, once, and as it came.
#![no_main]
#![expect(clippy::unwrap_used, reason = "a target fails by panicking")]

mod chunks;

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use chunks::{cut, take};
use lanyard_broker::fuzzing::{NAME, server_name};
use libfuzzer_sys::fuzz_target;
use tokio::{
    io::{AsyncRead, ReadBuf},
    runtime::{Builder, Runtime},
};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
}

fuzz_target!(|data: &[u8]| {
    let (cuts, sent) = take(data, 12);
    let pieces = cut(sent, cuts).into_iter().map(<[u8]>::to_vec).collect();
    let read = RUNTIME.with(|runtime| runtime.block_on(server_name(Pieces(pieces), NAME)));
    let Some(read) = read else {
        return;
    };
    assert!(sent.starts_with(&read), "something else is passed on");
    let names = names(&read).expect("a greeting that is none");
    let [name] = &names[..] else {
        panic!("not one name: {names:?}");
    };
    let name = name.to_ascii_lowercase();
    assert_eq!(name.strip_suffix('.').unwrap_or(&name), NAME);
});

/// A stream that comes in those pieces.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let pieces = &mut self.get_mut().0;
        while let Some(mut piece) = pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buffer.remaining()));
            if !rest.is_empty() {
                pieces.push_front(rest);
            }
            if !piece.is_empty() {
                buffer.put_slice(&piece);
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The names in a `ClientHello`, read from the wire (RFC 8446, 4.1.2 and 5.1; RFC 6066, 3).
fn names(stream: &[u8]) -> Option<Vec<String>> {
    let mut records = Reader(stream);
    let mut message = Vec::new();
    while message.len() < 4 || message.len() < 4 + length(&message[1..4]) {
        if records.take(1)? != [22] {
            return None;
        }
        records.take(2)?;
        message.extend_from_slice(records.sized(2)?);
    }
    let mut hello = Reader(&message);
    if hello.take(1)? != [1] {
        return None;
    }
    let mut hello = Reader(hello.sized(3)?);
    hello.take(2 + 32)?;
    hello.sized(1)?;
    hello.sized(2)?;
    hello.sized(1)?;
    let mut extensions = Reader(hello.sized(2)?);
    let mut names = Vec::new();
    while !extensions.0.is_empty() {
        let kind = extensions.take(2)?;
        let content = extensions.sized(2)?;
        if kind == [0, 0] {
            let mut list = Reader(Reader(content).sized(2)?);
            while !list.0.is_empty() {
                let kind = list.take(1)?;
                let name = list.sized(2)?;
                if kind == [0] {
                    names.push(String::from_utf8_lossy(name).into_owned());
                }
            }
        }
    }
    Some(names)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// What its length, a number of so many bytes, stands before.
    fn sized(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let count = length(self.take(bytes)?);
        self.take(count)
    }
}

fn length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |all, byte| all << 8 | usize::from(*byte))
}
