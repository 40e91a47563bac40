//! What the operator does.

pub mod election;
pub mod events;
pub mod http;
pub mod hub;
pub mod metrics;
pub mod server;
pub mod status;
pub mod tls;
