//! A TCP connection that can be cut from outside while others read and write it.

use std::{
    io,
    os::fd::AsFd as _,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, Shutdown, connect_unspec, recv, shutdown, sockopt};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// How long the other side may take nothing of what is written, in milliseconds: whoever never reads, a client of a
/// long reply or a service of a long body, is not waited for until the grant's end.
const UNREAD: u32 = 15 * 60 * 1000;

/// A connection.
#[derive(Debug)]
pub(crate) struct Socket(Arc<TcpStream>);

/// What cuts a connection.
#[derive(Debug, Clone)]
pub(crate) struct Cut(Weak<TcpStream>);

impl Socket {
    /// Takes the connection over. Until it is shut down on purpose its end is a reset (tcp(7)), also when
    /// this process is killed: what breaks off never looks whole. The kernel ends it when its other side takes nothing
    /// for long (`TCP_USER_TIMEOUT`, tcp(7): also while its window is closed).
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_zero_linger()?;
        sockopt::set_tcp_user_timeout(&stream, UNREAD)?;
        Ok(Self(Arc::new(stream)))
    }

    /// What can cut it.
    pub(crate) fn cut(&self) -> Cut {
        Cut(Arc::downgrade(&self.0))
    }
}

impl Cut {
    /// Ends the connection at once with a reset: what the kernel still holds of it is not sent, and whoever
    /// reads or writes it gets an error. (`connect` to `AF_UNSPEC` dissolves an association, connect(2); for
    /// TCP it throws the queues away and sends a reset.)
    pub(crate) fn cut(&self) {
        if let Some(stream) = self.0.upgrade()
            && let Err(error) = connect_unspec(stream.as_fd())
        {
            tracing::debug!(%error, "a connection could not be cut");
        }
    }
}

impl Cut {
    /// Lets the connection end as if all was said, for all was: nothing is under way on it.
    pub(crate) fn let_go(&self) {
        if let Some(stream) = self.0.upgrade()
            && let Err(error) = sockopt::set_socket_linger(stream.as_fd(), None)
        {
            tracing::debug!(%error, "a connection ends with a reset");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            let mut read = None;
            let unfilled = buffer.initialize_unfilled();
            let tried = self.0.try_io(Interest::READABLE, || {
                let (length, _) = recv(self.0.as_fd(), &mut *unfilled, RecvFlags::empty())?;
                read = Some(length);
                // It is empty now, and tells when it is not (epoll(7)): another look would be in vain.
                if length > 0 && length < unfilled.len() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match (read, tried) {
                (Some(length), _) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, _) => {}
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was sent until now is waited for after all.
        let result = sockopt::set_socket_linger(self.0.as_fd(), None)
            .and_then(|()| shutdown(self.0.as_fd(), Shutdown::Write));
        Poll::Ready(match result {
            // The other side was faster.
            Err(rustix::io::Errno::NOTCONN) => Ok(()),
            result => result.map_err(io::Error::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, other) = tokio::join!(listener.accept(), other);
        (Socket::new(accepted.unwrap().0).unwrap(), other.unwrap())
    }

    /// As the kernel does after a quarter of an hour, so it does here after less.
    #[tokio::test]
    async fn whoever_reads_nothing_is_not_waited_for() {
        let (mut socket, _other) = pair().await;
        assert_eq!(sockopt::tcp_user_timeout(&*socket.0).unwrap(), UNREAD);
        sockopt::set_tcp_user_timeout(&*socket.0, 300).unwrap();
        let flood = vec![7; 64 << 20];
        let end = socket.write_all(&flood).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn both_directions_are_carried() {
        let (mut socket, mut other) = pair().await;
        socket.write_all(b"there").await.unwrap();
        other.write_all(b"back").await.unwrap();
        socket.shutdown().await.unwrap();
        other.shutdown().await.unwrap();
        let (mut there, mut back) = (String::new(), String::new());
        other.read_to_string(&mut there).await.unwrap();
        socket.read_to_string(&mut back).await.unwrap();
        assert_eq!((there.as_str(), back.as_str()), ("there", "back"));
    }

    #[tokio::test]
    async fn a_cut_ends_it_at_once_and_nothing_that_waited_is_sent() {
        let (mut socket, mut other) = pair().await;
        let cut = socket.cut();
        // More than the two kernels' buffers take: the rest waits.
        let flood = vec![7; 1 << 20];
        let mut sent = 0;
        while let Ok(Ok(more)) =
            tokio::time::timeout(std::time::Duration::from_millis(50), socket.write(&flood)).await
        {
            sent += more;
        }
        cut.cut();
        let mut received = Vec::new();
        let end = other.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
        assert!(received.len() < sent, "{} of {sent}", received.len());
        assert!(socket.write(b"more").await.is_err());
        assert!(!matches!(socket.read(&mut [0; 8]).await, Ok(1..)));
    }

    #[tokio::test]
    async fn what_is_not_shut_down_ends_with_a_reset_and_what_is_does_not() {
        let (mut socket, mut other) = pair().await;
        socket.write_all(b"half").await.unwrap();
        drop(socket);
        let mut received = Vec::new();
        let end = other.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);

        let (mut socket, mut other) = pair().await;
        socket.write_all(b"whole").await.unwrap();
        socket.shutdown().await.unwrap();
        drop(socket);
        assert_eq!(other.read_to_end(&mut received).await.unwrap(), 5);

        let (socket, mut other) = pair().await;
        socket.cut().let_go();
        drop(socket);
        assert_eq!(other.read_to_end(&mut received).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_cut_wakes_who_reads() {
        let (mut socket, _other) = pair().await;
        let cut = socket.cut();
        let reading = tokio::spawn(async move { socket.read(&mut [0; 8]).await });
        tokio::task::yield_now().await;
        cut.cut();
        assert!(!matches!(reading.await.unwrap(), Ok(1..)));
        cut.cut();
    }
}
