//! Reconciles what people write and streams to each node what its pods need. It holds no secret.
//!
//! - [`gather`]: what it hears from the API server.
//! - [`decide`]: what follows from that. Pure: data and `now` in, data out.
//! - [`apply`]: what it does: streams, status, events, its lease.

pub mod apply;
pub mod args;
pub mod decide;
pub mod gather;
pub mod run;
