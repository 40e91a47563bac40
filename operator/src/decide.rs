//! What follows from what was heard. Nothing here has a clock, a socket or a task.

pub mod bucket;
pub mod enforced;
pub mod followers;
pub mod input;
pub mod known;
pub mod lease;
pub mod node;
pub mod pods;
pub mod reviews;
pub mod state;
pub mod status;
pub mod view;
pub mod world;
pub mod writes;
