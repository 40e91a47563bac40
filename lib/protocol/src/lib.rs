//! The wire between Lanyard's own parts.
//!
//! - [`control`]: the command line and the node agent.
//! - [`broker`]: a scope's broker and its node agent.
//! - [`granted`]: grants, from one to the other.
//! - [`nodes`]: the operator and its nodes; the service itself with the feature `grpc`.
//! - [`frame`]: how messages are told apart on a stream.
//! - [`record`]: what is written down of everything that happens.

#[expect(
    missing_docs,
    clippy::pedantic,
    reason = "generated from proto/control.proto, where the documentation stands"
)]
pub mod control {
    include!(concat!(env!("OUT_DIR"), "/lanyard.control.v1.rs"));
}

#[expect(
    missing_docs,
    clippy::pedantic,
    reason = "generated from proto/broker.proto, where the documentation stands"
)]
pub mod broker {
    include!(concat!(env!("OUT_DIR"), "/lanyard.broker.v1.rs"));
}

pub mod frame;
pub mod granted;
pub mod level;
pub mod nodes;
pub mod record;
mod secret;

/// The version of the control protocol. Parts of another version are warned of, not refused.
pub const CONTROL_PROTOCOL: u32 = 1;

/// The version of what operator and nodes say to each other.
pub const NODES_PROTOCOL: u32 = 1;
