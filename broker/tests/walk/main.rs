//! The whole of a broker, driven from both sides: a client in the scope, and a real service.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authority;
mod client;
mod conditions;
mod connections;
mod credentials;
mod ends;
mod frames;
mod framing;
mod gathered;
mod limits;
mod mcp;
mod names;
mod node_agent;
mod patience;
mod proxy;
mod requests;
mod service;
mod smuggling;
mod versions;
mod wiretap;
mod world;
