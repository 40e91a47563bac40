//! What each long-running process of Lanyard needs.
//!
//! - [`log`]: what it says, on standard error.
//! - [`shutdown`]: how it is told to end.

pub mod log;
pub mod shutdown;
