//! How much one scope may make the broker do.

/// Connections at a time; more wait in the kernel's queue.
pub(crate) const CONNECTIONS: u32 = 1024;

/// Headers of one message.
pub(crate) const HEADERS: usize = 100;

/// Bytes of the head of one message.
pub(crate) const HEADER_BYTES: usize = 64 << 10;

/// Bytes that are read ahead of what the other side takes.
pub(crate) const BUFFER_BYTES: usize = HEADER_BYTES + (8 << 10);

/// Names of an observed scope that are looked up at a time; more are lost, and asked for again.
pub(crate) const LOOKUPS: usize = 64;

/// Addresses of one name that are answered and told, so that an answer stays within a datagram.
pub(crate) const ADDRESSES: usize = 16;
