//! A message on a stream: four bytes of length (big endian), then the message in protobuf.

mod incoming;

use std::io::{self, Read, Write};

use prost::Message;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

pub use self::incoming::Incoming;

/// The longest message: above it the sender is broken or hostile.
pub const LONGEST: usize = 4 << 20;

/// Why a frame could not be read or written.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The stream failed.
    #[error("stream failed: {0}")]
    Stream(#[from] io::Error),
    /// The stream ended where a frame could begin: the other side is gone.
    #[error("the other side closed the connection")]
    Closed,
    /// The other side announced more than [`LONGEST`].
    #[error("a message of {0} bytes is longer than allowed")]
    TooLong(usize),
    /// The bytes are not the message.
    #[error("message not understood: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// The bytes of one frame. They are cleared when dropped, for they may hold a secret.
pub fn encode(message: &impl Message) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 + message.encoded_len()));
    encode_into(message, &mut bytes)?;
    Ok(bytes)
}

/// Frames one after another, in one buffer that is cleared when dropped.
pub fn encode_all<'a, M: Message + 'a>(
    messages: impl Iterator<Item = &'a M> + Clone,
) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let each = messages.clone().map(|message| 4 + message.encoded_len());
    // Room for all of it at once: a growing vector would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(each.sum()));
    for message in messages {
        encode_into(message, &mut bytes)?;
    }
    Ok(bytes)
}

fn encode_into(message: &impl Message, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
    let length = message.encoded_len();
    if length > LONGEST {
        return Err(FrameError::TooLong(length));
    }
    let header = u32::try_from(length).map_err(|_| FrameError::TooLong(length))?;
    bytes.extend_from_slice(&header.to_be_bytes());
    // Into the very buffer that is cleared: no other copy is left behind.
    message
        .encode(bytes)
        .map_err(|_| FrameError::TooLong(length))
}

fn checked_length(header: [u8; 4]) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(header) as usize;
    if length > LONGEST {
        Err(FrameError::TooLong(length))
    } else {
        Ok(length)
    }
}

/// Reads one message.
pub fn read<M: Message + Default>(stream: &mut impl Read) -> Result<M, FrameError> {
    let mut header = [0; 4];
    read_header(stream, &mut header)?;
    let mut body = Zeroizing::new(vec![0; checked_length(header)?]);
    stream.read_exact(&mut body)?;
    Ok(M::decode(body.as_slice())?)
}

fn read_header(stream: &mut impl Read, header: &mut [u8; 4]) -> Result<(), FrameError> {
    match stream.read_exact(header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(FrameError::Closed),
        other => Ok(other?),
    }
}

/// Writes one message.
pub fn write(stream: &mut impl Write, message: &impl Message) -> Result<(), FrameError> {
    stream.write_all(&encode(message)?)?;
    Ok(stream.flush()?)
}

/// Reads one message without blocking the thread.
pub async fn receive<M: Message + Default>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<M, FrameError> {
    let mut header = [0; 4];
    match stream.read_exact(&mut header).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(FrameError::Closed);
        }
        other => other?,
    };
    let mut body = Zeroizing::new(vec![0; checked_length(header)?]);
    stream.read_exact(&mut body).await?;
    Ok(M::decode(body.as_slice())?)
}

/// Writes messages, all with as few calls of the system as it lets.
pub async fn send_all<'a, M: Message + 'a>(
    stream: &mut (impl AsyncWrite + Unpin),
    messages: impl Iterator<Item = &'a M> + Clone,
) -> Result<(), FrameError> {
    stream.write_all(&encode_all(messages)?).await?;
    Ok(stream.flush().await?)
}

/// Writes one message without blocking the thread.
pub async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Message,
) -> Result<(), FrameError> {
    stream.write_all(&encode(message)?).await?;
    Ok(stream.flush().await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Request, Revoke, request::Verb};

    fn request() -> Request {
        Request {
            protocol: 1,
            verb: Some(Verb::Revoke(Revoke {
                grant: "a/b".into(),
            })),
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let mut stream = Vec::new();
        write(&mut stream, &request()).unwrap();
        write(&mut stream, &request()).unwrap();
        let mut stream = stream.as_slice();
        assert_eq!(read::<Request>(&mut stream).unwrap(), request());
        assert_eq!(read::<Request>(&mut stream).unwrap(), request());
        assert!(matches!(
            read::<Request>(&mut stream),
            Err(FrameError::Closed)
        ));
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_memory_is_taken() {
        let mut stream = &[0xff; 8][..];
        assert!(matches!(
            read::<Request>(&mut stream),
            Err(FrameError::TooLong(_))
        ));
    }

    #[test]
    fn a_cut_message_is_an_error() {
        let bytes = encode(&request()).unwrap();
        let mut cut = &bytes[..bytes.len() - 1];
        assert!(matches!(
            read::<Request>(&mut cut),
            Err(FrameError::Stream(_))
        ));
    }
}
