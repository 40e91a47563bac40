//! The identity sidecar of one scope: it answers names, speaks TLS for them, decides each request, and puts
//! in the credential that the grant names.
//!
//! It lives beside code that is not trusted: it knows no API server and no kernel map. All it works from
//! comes over one socket pair from its node agent ([`agent`]); who connects, it learns from the kernel
//! ([`broker::KernelTags`]).

pub mod agent;
pub mod args;
pub mod broker;
mod carriage;
pub mod clock;
pub mod confinement;
mod connection;
mod deadline;
mod frequency;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gathered;
pub mod handover;
mod header_name;
mod http;
mod injection;
mod interception;
mod limits;
mod mcp;
mod open_request;
mod quota;
pub mod resolver;
pub mod scope;
mod scrub;
pub mod server;
pub mod sidecar;
mod socket;
mod socket_tag;
mod splice;
mod upstream;
