//! The bytes shared by kernel and user space: keys and values of the maps, events of the rings, and the
//! tag that the kernel hands to a broker.
//!
//! Every type is `repr(C)` without padding, so that no byte of it is ever unset; [`plain::Plain`] says so
//! and the build fails where it is not true. A change of any layout is a new [`VERSION`], and with it a
//! new folder of pins.

#![no_std]

pub mod cause;
pub mod event;
pub mod grant;
pub mod kernel_function;
pub mod plain;
pub mod pod;
pub mod process;
pub mod settings;
pub mod tag;
pub mod unix;
pub mod virtual_address;

/// The version of this layout.
pub const VERSION: u32 = 5;
