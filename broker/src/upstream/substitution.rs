//! A secret takes its place in the head of a request in the last step before TLS.
//!
//! Whoever makes the head (hyper) keeps it in a buffer for as long as the connection is kept. Of HTTP/1.1 it is
//! given a stand-in, which is random and new for each request; here the secret is written in its place, once.
//! Nothing of a request that was to have a credential goes out without it.

use std::{
    fmt,
    io::{self, IoSlice},
    iter,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use memchr::memmem;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use uuid::{Uuid, fmt::Simple};
use zeroize::Zeroizing;

/// How much is written at once with a head: what a record of TLS holds (RFC 8446, 5.1).
const RECORD: usize = 16 << 10;

/// A secret, and what stands for it until it is written.
pub(crate) struct Substitution {
    stand_in: String,
    secret: Zeroizing<Vec<u8>>,
}

impl Substitution {
    /// A new stand-in for the secret. Nobody can guess it, so that it is nowhere but where it was put.
    pub(crate) fn of(secret: &[u8]) -> Self {
        Self {
            stand_in: Simple::from_uuid(Uuid::new_v4()).to_string(),
            secret: Zeroizing::new(secret.to_vec()),
        }
    }

    /// What is put into the head: letters and digits.
    pub(crate) fn stand_in(&self) -> &str {
        &self.stand_in
    }

    /// The beginning of what is written, with the secret in its place.
    fn applied(&self, slices: &[IoSlice<'_>]) -> Option<Applied> {
        let (head, rest) = slices.split_first()?;
        let at = memmem::find(head, self.stand_in.as_bytes())?;
        let behind = at + self.stand_in.len();
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        let begin = at + self.secret.len();
        let mut room = (all - behind).min(RECORD.saturating_sub(begin));
        // Room for all of it at once: a growing vector would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(begin + room));
        bytes.extend_from_slice(&head[..at]);
        bytes.extend_from_slice(&self.secret);
        let replaced = behind + room;
        for slice in iter::once(&head[behind..]).chain(rest.iter().map(|slice| &**slice)) {
            let length = slice.len().min(room);
            bytes.extend_from_slice(&slice[..length]);
            room -= length;
        }
        Some(Applied { bytes, replaced })
    }
}

/// What is written in place of so many bytes.
struct Applied {
    bytes: Zeroizing<Vec<u8>>,
    replaced: usize,
}

impl fmt::Debug for Substitution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Substitution(..)")
    }
}

/// Why nothing more is written on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum SubstitutionError {
    /// Something else came than the head that was announced.
    #[error("the head of a request has no place for its credential")]
    NoPlace,
    /// Whoever sent the request left before its head was written.
    #[error("the credential of a request was taken back before it was written")]
    TakenBack,
}

impl From<SubstitutionError> for io::Error {
    fn from(error: SubstitutionError) -> Self {
        Self::other(error)
    }
}

/// What is next on one connection; its stream and whoever sends requests on it have the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Substitutions(Arc<Mutex<Next>>);

#[derive(Debug, Default)]
enum Next {
    /// What comes is written as it is.
    #[default]
    Anything,
    /// A head that has that stand-in.
    Head(Substitution),
    /// Nothing any more.
    Nothing(SubstitutionError),
}

impl Substitutions {
    /// No code panics while it holds it; what it holds is whole in any case.
    fn next(&self) -> MutexGuard<'_, Next> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is written next has to be a head with that stand-in. When the guard goes, so does the secret, and if it
    /// was not written by then, nothing is written any more.
    pub(super) fn announce(&self, substitution: Substitution) -> Announced<'_> {
        let mut next = self.next();
        // Once refused, a connection stays so.
        if !matches!(*next, Next::Nothing(_)) {
            *next = Next::Head(substitution);
        }
        Announced(self)
    }

    /// What to write in place of the beginning of these, if they are the head that was announced.
    fn apply(&self, slices: &[IoSlice<'_>]) -> Result<Option<Applied>, SubstitutionError> {
        let mut next = self.next();
        let substitution = match &*next {
            Next::Anything => return Ok(None),
            Next::Nothing(error) => return Err(*error),
            Next::Head(substitution) => substitution,
        };
        let applied = substitution.applied(slices);
        *next = match applied {
            Some(_) => Next::Anything,
            None => Next::Nothing(SubstitutionError::NoPlace),
        };
        applied.map(Some).ok_or(SubstitutionError::NoPlace)
    }
}

/// A secret that is to be written next.
#[derive(Debug)]
pub(super) struct Announced<'a>(&'a Substitutions);

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        let mut next = self.0.next();
        if matches!(*next, Next::Head(_)) {
            *next = Next::Nothing(SubstitutionError::TakenBack);
        }
    }
}

/// A stream on which secrets take their places.
#[derive(Debug)]
pub(super) struct Substituting<S> {
    stream: S,
    substitutions: Substitutions,
    /// A head that is on its way, and how much of it is written.
    head: Zeroizing<Vec<u8>>,
    written: usize,
}

impl<S: AsyncWrite + Unpin> Substituting<S> {
    /// What is written to it goes to `stream`.
    pub(super) fn new(stream: S, substitutions: Substitutions) -> Self {
        Self {
            stream,
            substitutions,
            head: Zeroizing::default(),
            written: 0,
        }
    }

    /// Writes the rest of a head, and clears it.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.head.len() {
            let rest = &self.head[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.written = 0;
        self.head = Zeroizing::default();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Substituting<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Substituting<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_head(context))?;
        let first = slices.iter().position(|slice| !slice.is_empty());
        let slices = &slices[first.unwrap_or(slices.len())..];
        let Some(applied) = this.substitutions.apply(slices)? else {
            return Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        };
        this.head = applied.bytes;
        // What does not go out now is ours to write, before anything that follows.
        if let Poll::Ready(result) = this.poll_head(context) {
            result?;
        }
        Poll::Ready(Ok(applied.replaced))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_head(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_head(context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
