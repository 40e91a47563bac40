//! The Model Context Protocol: what a message says before it goes to the server, and the server's list of tools
//! without those that are not granted.

pub(crate) mod listing;
pub(crate) mod message;
