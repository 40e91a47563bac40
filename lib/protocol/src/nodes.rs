//! The operator and its nodes: what is said, and its checked forms.
//!
//! [`wire`] is what is sent. Each side encodes from and decodes to the types beside it, so that what a
//! node works from is as checked as what the operator compiled.

mod agent;
mod delta;
mod error;
mod message;
mod pod;

pub use self::{
    agent::NodeAgent,
    delta::{Base, Delta},
    error::NodesError,
    message::{FromNode, Hello, ResumePoint, ToNode},
    pod::{DeclaredPort, NodePod, Transport},
};

#[expect(
    missing_docs,
    clippy::pedantic,
    reason = "generated from proto/nodes.proto, where the documentation stands"
)]
#[cfg_attr(
    feature = "grpc",
    expect(
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated with the services"
    )
)]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/lanyard.nodes.v1.rs"));
}

#[cfg(test)]
mod tests;
