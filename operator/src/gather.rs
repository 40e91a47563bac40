//! What is heard from the API server.

pub mod pod;
pub mod review;
pub mod watch;
