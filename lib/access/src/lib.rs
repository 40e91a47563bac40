//! The rules of Lanyard, pure: who may reach what, until when, and why.
//!
//! Nothing here reads a clock, a file or a network: every function takes data and `now`, and
//! returns data. Text becomes one of the checked types below once, at the edge, so that later
//! code cannot meet a bad name.
//!
//! - [`compile`] turns what people wrote (identities, grants, policies, approvals) into
//!   [`desired::Desired`]: what each agent may reach until when, and a reason for each grant
//!   that gives nothing.
//! - [`decide`] answers one request from that.

pub mod approval;
pub mod compile;
pub mod condition;
pub mod credential;
pub mod decide;
pub mod desired;
pub mod digest;
pub mod evidence;
pub mod grant;
pub mod host;
pub mod http;
pub mod identity;
pub mod letter_case;
pub mod lifetime;
pub mod mcp;
pub mod method;
pub mod object;
pub mod path;
pub mod pod;
pub mod policy;
pub mod port;
pub mod prefix;
pub mod process;
pub mod reason;
pub mod reserved;
pub mod spiffe_id;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod sample;
