//! The API of Lanyard: what users write.
//!
//! - [`agent_identity`], [`access_grant`] and [`credential_source`] are the kinds. Their doc comments
//!   are what `kubectl explain` shows. Each has a `check` that turns what was written into the checked
//!   types of `lanyard_access`, or says everything that is wrong.
//! - [`manifest`] reads the same objects from YAML files, as `lanyard up` does, and says of every
//!   mistake in which file, line, column and field it is.
//! - [`local_policy`] reads the policy file of a machine in the same way.

pub mod access_grant;
pub mod agent_identity;
pub mod condition;
pub mod credential_source;
pub mod field;
pub mod kind;
pub mod local_policy;
pub mod manifest;
pub mod names;
pub mod problem;
pub mod spec_hash;

mod metadata;
mod rule;
mod schema;
mod source;
mod text;
mod timestamp;
mod yaml;
