//! What must hold whatever is written, in whatever order, at whatever time.

mod bounds;
mod clock;
mod narrowing;
mod order;
mod overlap;
mod world;
