//! What must hold whatever is written, in whatever order, at whatever time.

mod bounds;
mod clock;
mod narrowing;
mod networks;
mod order;
mod overlap;
mod world;
