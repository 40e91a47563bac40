//! What each long-running process of Lanyard needs.
//!
//! - [`hardening`]: what it gives up before it meets anything secret.
//! - [`log`]: what it says, on standard error.
//! - [`shutdown`]: how it is told to end.

pub mod hardening;
pub mod log;
pub mod shutdown;
