//! One node agent per node: it attests processes, owns the kernel maps, runs the brokers and writes the
//! record. It mints no identity.

pub mod args;
pub mod attest;
pub mod broker;
pub mod callers;
pub mod cluster;
pub mod control;
pub mod credentials;
pub mod deadline;
pub mod desired;
pub mod events;
pub mod explain;
pub mod flows;
pub mod forgotten;
pub mod images;
pub mod interception;
pub mod kept;
pub mod kernel;
pub mod loader;
#[cfg(feature = "local")]
pub mod local;
pub mod names;
pub mod node;
pub mod observations;
pub mod place;
pub mod record;
pub mod refusals;
pub mod scope;
pub mod suggest;
pub mod upkeep;
pub mod usage;
pub mod user;
