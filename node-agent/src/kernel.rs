//! The kernel side of a node: the only place that knows aya.
//!
//! Programs and maps are pinned, so that they enforce on when the node agent is dead. A node agent that
//! finds its own build's takes them over as they are; another build's it replaces while they work. There is
//! no moment without them.

mod btf;
pub mod clock;
pub mod datagrams;
mod maps;
pub mod namespace;
mod object;
mod pins;
mod raw_link;
mod rings;
pub mod sever;
mod shared;
pub mod tagged;
mod unix_hooks;

use std::path::Path;

use thiserror::Error;

use self::btf::Types;

pub use self::{
    btf::BtfError,
    maps::{MapError, Maps},
    object::LoadError,
    pins::{Found, PinError, Pins},
    rings::{ExecRecord, Ring, Rings},
};

/// Why the kernel does not enforce.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The kernel's own description lacks something.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The programs were not accepted.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A map could not be opened.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The pins cannot be used.
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// The generation of the tracing programs that are attached where none are.
const FIRST_GENERATION: u32 = 1;

/// What a node agent works with.
pub struct Kernel {
    /// What the programs decide by.
    pub maps: Maps,
    /// What they tell.
    pub rings: Rings,
    /// Whether programs and maps of an earlier run were taken over.
    pub adopted: bool,
}

impl Kernel {
    /// Enforces below `attach_root` for `node`, takes over what already does, or replaces another build's
    /// programs while they work.
    pub fn open(node: &str, attach_root: &Path) -> Result<Self, KernelError> {
        Self::open_object(object::OBJECT, node, attach_root)
    }

    /// As [`Self::open`], with the programs of that object.
    pub fn open_object(object: &[u8], node: &str, attach_root: &Path) -> Result<Self, KernelError> {
        let pins = Pins::of(node, &object::digest(object));
        let found = pins.find()?;
        match found {
            Found::Complete => {}
            Found::Nothing => {
                let description = btf::read()?;
                let types = Types::of(&description)?;
                pins.prepare()?;
                let loaded = object::load(object, &pins, attach_root, &types, FIRST_GENERATION);
                if let Err(error) = loaded {
                    pins.remove()?;
                    return Err(error.into());
                }
                pins.complete()?;
            }
            Found::OtherBuild => {
                let generation = maps::generation(&pins)?.wrapping_add(1);
                let description = btf::read()?;
                let types = Types::of(&description)?;
                object::load(object, &pins, attach_root, &types, generation)?;
                pins.complete()?;
            }
        }
        Ok(Self {
            maps: Maps::open(&pins)?,
            rings: Rings::open(&pins)?,
            adopted: found != Found::Nothing,
        })
    }

    /// The pins of `node`, whether or not anything is there.
    pub fn pins(node: &str) -> Pins {
        Pins::of(node, &object::digest(object::OBJECT))
    }
}
