//! A stream to another process that wakes for what is to be read of it alone.
//!
//! A socket of the unix family tells its owner each time that the other end has read (`unix_write_space` in
//! `net/unix/af_unix.c`), for there is room to write then; whoever watches for both is woken for nothing by every message
//! that it sends. Here room is watched for only while there was none.

use std::{
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// What comes from the other process.
#[derive(Debug)]
pub struct Reader(AsyncFd<UnixStream>);

/// What goes to the other process.
#[derive(Debug)]
pub struct Writer {
    stream: UnixStream,
    /// Watched while there is no room.
    room: Option<AsyncFd<UnixStream>>,
}

/// Both directions of a stream. To be called in a runtime.
pub fn split(stream: UnixStream) -> io::Result<(Reader, Writer)> {
    stream.set_nonblocking(true)?;
    let writer = Writer {
        stream: stream.try_clone()?,
        room: None,
    };
    Ok((Reader(watched(stream, Interest::READABLE)?), writer))
}

fn watched(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    #[expect(
        deprecated,
        reason = "unsound only for types whose descriptor may change or close; a `UnixStream` is none"
    )]
    AsyncFd::with_interest(stream, interest)
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(context))?;
            let into = buffer.initialize_unfilled();
            let room = into.len();
            match ready.try_io(|stream| stream.get_ref().read(into)) {
                Ok(Ok(read)) => {
                    // What comes next wakes: it need not be tried whether there is more.
                    if read > 0 && read < room {
                        ready.clear_ready();
                    }
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, room } = self.get_mut();
        loop {
            if let Some(watched) = room {
                let mut ready = ready!(watched.poll_write_ready(context))?;
                ready.clear_ready();
            }
            match stream.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if room.is_none() {
                        *room = Some(watched(stream.try_clone()?, Interest::WRITABLE)?);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => {
                    *room = None;
                    return Poll::Ready(done);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
        time::Duration,
    };

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// More than a socket of the unix family holds.
    const MUCH: usize = 4 << 20;

    /// The clock goes on when nothing else does: whoever sleeps wakes when all that was to come has come.
    fn run(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true);
        runtime.build().unwrap().block_on(test);
    }

    #[test]
    fn what_finds_no_room_is_written_when_there_is() {
        run(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (_, mut writer) = split(ours).unwrap();
            let (mut reader, _) = split(theirs).unwrap();
            let bytes: Vec<u8> = (0..=250).cycle().take(MUCH).collect();
            let mut read = vec![0; MUCH];
            let (written, all) =
                tokio::join!(writer.write_all(&bytes), reader.read_exact(&mut read));
            written.unwrap();
            all.unwrap();
            assert!(read == bytes);
            assert!(writer.room.is_none(), "watched only while there is none");
        });
    }

    #[test]
    fn the_end_of_the_other_process_is_read_after_what_it_said() {
        run(async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (mut reader, mut writer) = split(ours).unwrap();
            theirs.write_all(b"last").unwrap();
            drop(theirs);
            let mut read = Vec::new();
            reader.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, b"last");
            let error = writer.write_all(b"more").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn that_the_other_process_reads_wakes_nobody() {
        run(async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (mut reader, mut writer) = split(ours).unwrap();
            let woken = Arc::new(Count(AtomicUsize::new(0)));
            let waker = Waker::from(Arc::clone(&woken));
            let mut bytes = [0; 8];
            let mut buffer = ReadBuf::new(&mut bytes);
            let mut poll = || {
                let mut context = Context::from_waker(&waker);
                Pin::new(&mut reader).poll_read(&mut context, &mut buffer)
            };
            assert!(poll().is_pending());
            writer.write_all(b"call").await.unwrap();
            theirs.read_exact(&mut [0; 4]).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(woken.0.load(Ordering::Relaxed), 0);
            theirs.write_all(b"answer").unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(woken.0.load(Ordering::Relaxed), 1);
            assert!(poll().is_ready());
        });
    }
}
