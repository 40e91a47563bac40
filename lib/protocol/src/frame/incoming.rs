//! Many messages, read with few calls of the system.

use std::io;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::{FrameError, checked_length};

/// How much is read at once, unless a message is longer.
const ROOM: usize = 16 << 10;

/// Bytes of the length before each message.
const HEADER: usize = 4;

/// The messages of a stream. What was read of them is cleared as soon as it is decoded, for it may hold a secret.
#[derive(Debug)]
pub struct Incoming<R> {
    stream: R,
    buffer: Zeroizing<Vec<u8>>,
    /// Where in it what is not yet decoded begins and ends.
    start: usize,
    end: usize,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// Nothing is read yet.
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: Zeroizing::new(vec![0; ROOM]),
            start: 0,
            end: 0,
        }
    }

    /// The next message. Dropped before it is ready, it loses nothing.
    pub async fn receive<M: Message + Default>(&mut self) -> Result<M, FrameError> {
        loop {
            let mut wanted = HEADER;
            if let Some(header) = self.waiting().first_chunk::<HEADER>() {
                wanted += checked_length(*header)?;
                if self.waiting().len() >= wanted {
                    return Ok(self.take(wanted)?);
                }
            }
            self.make_room(wanted);
            let read = self.stream.read(&mut self.buffer[self.end..]).await?;
            if read == 0 {
                return Err(if self.waiting().is_empty() {
                    FrameError::Closed
                } else {
                    io::Error::from(io::ErrorKind::UnexpectedEof).into()
                });
            }
            self.end += read;
        }
    }

    /// The message of the frame that is waiting.
    fn take<M: Message + Default>(&mut self, length: usize) -> Result<M, prost::DecodeError> {
        let frame = &mut self.buffer[self.start..self.start + length];
        let message = M::decode(&frame[HEADER..]);
        frame.zeroize();
        self.start += length;
        message
    }

    fn waiting(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Room for a frame of that length, of which some may be there.
    fn make_room(&mut self, wanted: usize) {
        let length = self.end - self.start;
        let size = wanted.max(ROOM);
        if length > 0 && self.start + wanted <= self.buffer.len() {
            return;
        }
        if self.buffer.len() < size || (length == 0 && self.buffer.len() > ROOM) {
            // The old one is cleared.
            let mut larger = Zeroizing::new(vec![0; size]);
            larger[..length].copy_from_slice(self.waiting());
            self.buffer = larger;
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.buffer[length..self.end].zeroize();
        }
        self.start = 0;
        self.end = length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{Request, Revoke, request::Verb},
        frame::{LONGEST, encode_all},
    };

    fn request(name: usize) -> Request {
        Request {
            protocol: 1,
            verb: Some(Verb::Revoke(Revoke {
                grant: "g".repeat(name),
            })),
        }
    }

    /// A stream that gives so many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl AsyncRead for Slow<'_> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            let length = self.1.min(self.0.len()).min(buffer.remaining());
            let (now, later) = self.0.split_at(length);
            buffer.put_slice(now);
            self.0 = later;
            std::task::Poll::Ready(Ok(()))
        }
    }

    fn run<F: Future>(future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("a stream of the tests never waits"),
        }
    }

    #[test]
    fn messages_are_read_as_they_were_written_wherever_reads_end() {
        let sizes = [1, 0, 40_000, 3, ROOM, 2, 70_000, 5, 5];
        let requests = sizes.map(request);
        let bytes = encode_all(requests.iter()).unwrap();
        for at_a_time in [1, 3, 1000, ROOM, usize::MAX] {
            let mut incoming = Incoming::new(Slow(&bytes, at_a_time));
            for request in &requests {
                assert_eq!(run(incoming.receive::<Request>()).unwrap(), *request);
            }
            let end = run(incoming.receive::<Request>());
            assert!(matches!(end, Err(FrameError::Closed)), "{end:?}");
            assert!(incoming.buffer.len() <= ROOM);
        }
    }

    #[test]
    fn nothing_of_what_was_read_stays() {
        let requests = [request(100), request(20_000), request(300)];
        let bytes = encode_all(requests.iter()).unwrap();
        for at_a_time in [7, ROOM] {
            let mut incoming = Incoming::new(Slow(&bytes, at_a_time));
            for _ in &requests {
                run(incoming.receive::<Request>()).unwrap();
            }
            assert!(incoming.waiting().is_empty());
            assert!(incoming.buffer.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn an_empty_message_is_one() {
        let mut incoming = Incoming::new(Slow(&[0; 8], usize::MAX));
        for _ in 0..2 {
            assert_eq!(
                run(incoming.receive::<Request>()).unwrap(),
                Request::default()
            );
        }
    }

    #[test]
    fn what_is_cut_or_too_long_is_an_error() {
        let bytes = encode_all([request(9)].iter()).unwrap();
        let cut = run(Incoming::new(Slow(&bytes[..8], 5)).receive::<Request>());
        assert!(matches!(cut, Err(FrameError::Stream(_))), "{cut:?}");
        let announced = u32::try_from(LONGEST + 1).unwrap().to_be_bytes();
        let long = run(Incoming::new(Slow(&announced, 4)).receive::<Request>());
        assert!(matches!(long, Err(FrameError::TooLong(_))), "{long:?}");
    }
}
