//! What each long-running process of Lanyard needs.
//!
//! - [`hardening`]: what it gives up before it meets anything secret.
//! - [`link`]: how it talks with another one of ours.
//! - [`log`]: what it says, on standard error.
//! - [`shutdown`]: how it is told to end.

pub mod hardening;
pub mod link;
pub mod log;
pub mod shutdown;
