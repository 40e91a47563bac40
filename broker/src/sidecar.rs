//! The broker as a container of its own beside an agent's: it finds its node agent by a socket in a volume that no other
//! container of the pod has, and finds it again when one takes the place of another.

use std::{io, os::unix::net::UnixStream as StdStream, path::Path, time::Duration};

use thiserror::Error;
use tokio::{net::UnixStream, time::sleep};
use tracing::{debug, info};

use crate::handover::{self, Handover, HandoverError};

/// How long to wait before it tries again: the first time, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The file beside the socket that is there while the node agent serves this broker.
const READY: &str = "ready";

/// Why a link was not taken up.
#[derive(Debug, Error)]
enum LinkError {
    /// The socket.
    #[error("reach the node agent: {0}")]
    Connect(#[from] io::Error),
    /// The node agent does not take this process for the broker of its pod, or has ended.
    #[error(transparent)]
    Handover(#[from] HandoverError),
}

/// Waits until a node agent takes this process for the broker of its pod.
pub async fn link(socket: &Path) -> (StdStream, Handover) {
    let mut pause = PAUSES.0;
    let mut is_told = false;
    loop {
        match try_link(socket).await {
            Ok(link) => return link,
            Err(error) if is_told => debug!(%error, "the node agent is not there yet"),
            Err(error) => {
                info!(%error, "the node agent is not there yet; it is asked again and again");
                is_told = true;
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn try_link(socket: &Path) -> Result<(StdStream, Handover), LinkError> {
    let stream = UnixStream::connect(socket).await?;
    // Then there is the handover, or the end.
    stream.readable().await?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    let handover = handover::receive(&stream)?;
    Ok((stream, handover))
}

/// Whether a node agent serves the broker whose socket that is.
pub fn is_ready(socket: &Path) -> bool {
    socket.with_file_name(READY).exists()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{IoSlice, Write as _},
        mem::MaybeUninit,
        net::{TcpListener, UdpSocket},
        os::{fd::AsFd as _, unix::net::UnixListener},
        thread,
    };

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    /// A node agent that does not know the first who comes, ends while the second waits, says something else to the third
    /// and gives the fourth its sockets.
    fn node_agent(listener: UnixListener) -> thread::JoinHandle<()> {
        thread::spawn(move || {
            for number in 0..4 {
                let (mut stream, _) = listener.accept().unwrap();
                match number {
                    0 | 1 => drop(stream),
                    2 => stream.write_all(b"X").unwrap(),
                    _ => hand_over(&stream),
                }
            }
        })
    }

    fn hand_over(stream: &StdStream) {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sockets = [tcp.as_fd(), dns.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&sockets)));
        let byte = [handover::HANDOVER];
        let sent = sendmsg(
            stream,
            &[IoSlice::new(&byte)],
            &mut control,
            SendFlags::empty(),
        );
        assert_eq!(sent, Ok(1));
    }

    #[tokio::test]
    async fn it_asks_until_a_node_agent_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("node.sock");
        let late = socket.clone();
        let agent = thread::spawn(move || {
            // There is none yet when it begins to ask.
            thread::sleep(PAUSES.0 * 2);
            node_agent(UnixListener::bind(late).unwrap())
                .join()
                .unwrap();
        });
        let (_stream, handover) = link(&socket).await;
        assert!(handover.v6.is_none());
        assert!(handover.v4.tcp.local_addr().is_ok());
        agent.join().unwrap();
    }

    #[test]
    fn it_is_ready_while_the_node_agent_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("node.sock");
        assert!(!is_ready(&socket));
        fs::write(folder.path().join(READY), "").unwrap();
        assert!(is_ready(&socket));
    }
}
