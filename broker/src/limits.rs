//! How much one scope may make the broker do.

use std::time::Duration;

/// Connections at a time; more wait in the kernel's queue.
pub(crate) const CONNECTIONS: u32 = 4096;

/// Headers of one message.
pub(crate) const HEADERS: usize = 100;

/// Bytes of the head of one message.
pub(crate) const HEADER_BYTES: usize = 64 << 10;

/// The same as HTTP/2 counts it (RFC 9113, 6.5.2).
pub(crate) const HEADER_LIST: u32 = 64 << 10;

/// Bytes of all that must be there as a whole before it goes on: messages of MCP and lists of tools.
pub(crate) const GATHERED: usize = 64 << 20;

/// Bytes that are read ahead of what the other side takes.
pub(crate) const BUFFER_BYTES: usize = HEADER_BYTES + (8 << 10);

/// Requests at a time over one connection of HTTP/2.
pub(crate) const STREAMS: usize = 128;

/// Requests at a time over one connection of HTTP/2 to a service; more get a connection of their own. What a
/// service should allow at least (RFC 9113, 6.5.2).
pub(crate) const SHARED: usize = 100;

/// Bytes of one body of HTTP/2 that are read ahead of what the other side takes.
pub(crate) const STREAM_WINDOW: u32 = 256 << 10;

/// Bytes of all bodies of an agent's connection of HTTP/2 that are read ahead.
pub(crate) const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes of all bodies of a connection of HTTP/2 to a service that are read ahead: as many as those that share it
/// may have, so that none waits for another whose agent does not read.
pub(crate) const SHARED_WINDOW: u32 = 100 * STREAM_WINDOW;
const _: () = assert!(SHARED_WINDOW as usize == SHARED * STREAM_WINDOW as usize);

/// Bytes of one body of HTTP/2 that wait to be written.
pub(crate) const SEND_BUFFER: usize = 64 << 10;

/// How often a service that says nothing over HTTP/2 is asked whether it is there, and how long it may take
/// to answer.
pub(crate) const PING: Duration = Duration::from_secs(30);
pub(crate) const PONG: Duration = Duration::from_secs(20);

/// Names of an observed scope that are looked up at a time; more are lost, and asked for again.
pub(crate) const LOOKUPS: usize = 64;

/// Addresses of one name that are answered and told, so that an answer stays within a datagram.
pub(crate) const ADDRESSES: usize = 16;
