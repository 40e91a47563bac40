//! One node agent per node: it attests processes, owns the kernel maps, runs the brokers and writes the
//! record. It mints no identity.

pub mod kernel;
