//! The wire between Lanyard's own parts.
//!
//! - [`control`]: the command line and the node agent.
//! - [`broker`]: a scope's broker and its node agent.
//! - [`granted`]: grants, from one to the other.
//! - [`frame`]: how messages are told apart on a stream.
//! - `kubelet`: a kubelet and the volume driver of its node, with the feature `grpc`.
//! - [`nodes`]: the operator and its nodes; the service itself with the feature `grpc`.
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

/// What a kubelet asks of a volume driver, and how it gets to know one.
#[cfg(feature = "grpc")]
pub mod kubelet {
    #[expect(
        missing_docs,
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated from proto/csi.proto, where the documentation stands"
    )]
    pub mod csi {
        include!(concat!(env!("OUT_DIR"), "/csi.v1.rs"));
    }

    #[expect(
        missing_docs,
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated from proto/registration.proto, where the documentation stands"
    )]
    pub mod registration {
        include!(concat!(env!("OUT_DIR"), "/pluginregistration.rs"));
    }
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
