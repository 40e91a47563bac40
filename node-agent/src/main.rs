//! Starts the node agent.

fn main() {}
