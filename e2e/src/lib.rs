//! A user's view of Lanyard: the real programs, a real service on a host of its own, and what a person
//! would see. The demo tells it as a story, the tests hold it to the promises.

pub mod agent;
pub mod brokers;
pub mod client;
pub mod cluster;
pub mod counterparts;
pub mod dialogue;
pub mod forms;
pub mod grant;
pub mod guarded;
pub mod lab;
pub mod lanyard;
pub mod ledger;
pub mod manifest;
pub mod memory;
pub mod nginx;
pub mod node_keys;
pub mod peers;
pub mod records;
pub mod resolvers;
pub mod scenes;
pub mod service;
pub mod silent_file;
pub mod spoken;
pub mod wait;
