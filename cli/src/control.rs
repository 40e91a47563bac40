//! The conversation with the node agent: one request, then replies.

use std::{
    io::{self, ErrorKind, IoSlice, Write},
    mem::MaybeUninit,
    os::unix::net::UnixStream,
    path::PathBuf,
};

use lanyard_protocol::{
    CONTROL_PROTOCOL,
    control::{Refused, Reply, Request, reply, request::Verb},
    frame::{self, FrameError},
};
use rustix::{
    fd::{AsFd, BorrowedFd},
    io::retry_on_intr,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use thiserror::Error;

use crate::args::Place;

/// Why the node agent could not be asked, or did not do it.
#[derive(Debug, Error)]
pub(crate) enum ControlError {
    #[error("no node agent runs here for node `{node}`: there is no socket {socket}", socket = .socket.display())]
    NoNodeAgent { node: String, socket: PathBuf },
    #[error("the node agent of node `{node}` does not answer: nothing listens on {socket}", socket = .socket.display())]
    NotServed { node: String, socket: PathBuf },
    #[error("you may not open the socket {socket}", socket = .socket.display())]
    Forbidden { socket: PathBuf },
    #[error("the socket {socket} cannot be opened: {source}", socket = .socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    #[error("the request cannot be sent: {0}")]
    Send(FrameError),
    #[error("the reply cannot be read: {0}")]
    Receive(FrameError),
    #[error("the node agent closed the connection before it was done")]
    Left,
    #[error("the node agent answered with something that this lanyard does not know")]
    NotUnderstood,
    #[error("{message}")]
    Refused { message: String, hint: String },
}

impl ControlError {
    /// Whether nobody is there to be asked.
    pub(crate) const fn is_nobody(&self) -> bool {
        matches!(self, Self::NoNodeAgent { .. } | Self::NotServed { .. })
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoNodeAgent { .. } => {
                "start it as root with `lanyard up`, or name another one with --node".to_owned()
            }
            Self::NotServed { .. } => "it ended without being told to, and what it enforced is \
                still enforced: start it again as root with `lanyard up`"
                .to_owned(),
            Self::Forbidden { .. } => {
                "the socket is open to every user unless somebody changed it: start the node agent \
                 again, or ask as root"
                    .to_owned()
            }
            Self::NotUnderstood => format!(
                "this is lanyard {} with protocol {CONTROL_PROTOCOL}: use the lanyard of the node \
                 agent's version, which `lanyard --version` shows",
                env!("CARGO_PKG_VERSION")
            ),
            Self::Left => {
                "its log says why: see node-agent.log in its state folder, or its terminal"
                    .to_owned()
            }
            Self::Refused { hint, .. } if !hint.is_empty() => hint.clone(),
            Self::Refused { .. } | Self::Connect { .. } | Self::Send(_) | Self::Receive(_) => {
                return None;
            }
        })
    }
}

/// A connection to a node agent.
#[derive(Debug)]
pub(crate) struct Control {
    stream: UnixStream,
}

impl Control {
    /// Connects to the node agent of a place.
    pub(crate) fn connect(place: &Place) -> Result<Self, ControlError> {
        let socket = place.socket();
        match UnixStream::connect(&socket) {
            Ok(stream) => Ok(Self { stream }),
            Err(error) => Err(connect_error(place.node().to_owned(), socket, error)),
        }
    }

    /// Sends the one request of a connection.
    pub(crate) fn ask(&mut self, verb: Verb) -> Result<(), ControlError> {
        frame::write(&mut self.stream, &request(verb)).map_err(ControlError::Send)
    }

    /// Sends the one request of a connection with a descriptor, which travels with its first bytes.
    pub(crate) fn ask_with(
        &mut self,
        verb: Verb,
        descriptor: BorrowedFd<'_>,
    ) -> Result<(), ControlError> {
        let bytes = frame::encode(&request(verb)).map_err(ControlError::Send)?;
        self.send_with(&bytes, descriptor)
            .map_err(|error| ControlError::Send(FrameError::Stream(error)))
    }

    fn send_with(&mut self, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let descriptors = [descriptor];
        let sent = retry_on_intr(|| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
            let bytes = [IoSlice::new(bytes)];
            sendmsg(&self.stream, &bytes, &mut control, SendFlags::NOSIGNAL)
        })?;
        self.stream.write_all(&bytes[sent..])
    }

    /// The next reply; a refusal is an error.
    pub(crate) fn reply(&mut self) -> Result<reply::Reply, ControlError> {
        match frame::read::<Reply>(&mut self.stream) {
            Ok(Reply { reply: None }) => Err(ControlError::NotUnderstood),
            Ok(Reply {
                reply: Some(reply::Reply::Refused(Refused { message, hint })),
            }) => Err(ControlError::Refused { message, hint }),
            Ok(Reply { reply: Some(reply) }) => Ok(reply),
            Err(FrameError::Closed) => Err(ControlError::Left),
            Err(error) => Err(ControlError::Receive(error)),
        }
    }

    /// The descriptor on which replies announce themselves.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Asks one thing and returns the one reply.
pub(crate) fn ask(place: &Place, verb: Verb) -> Result<reply::Reply, ControlError> {
    let mut control = Control::connect(place)?;
    control.ask(verb)?;
    control.reply()
}

fn request(verb: Verb) -> Request {
    Request {
        protocol: CONTROL_PROTOCOL,
        verb: Some(verb),
    }
}

fn connect_error(node: String, socket: PathBuf, error: io::Error) -> ControlError {
    let kind = error.kind();
    if matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory) {
        ControlError::NoNodeAgent { node, socket }
    } else if kind == ErrorKind::ConnectionRefused {
        ControlError::NotServed { node, socket }
    } else if kind == ErrorKind::PermissionDenied {
        ControlError::Forbidden { socket }
    } else {
        ControlError::Connect {
            socket,
            source: error,
        }
    }
}
