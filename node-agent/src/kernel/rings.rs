//! What the programs tell, as it comes.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use aya::maps::{Map, MapData, RingBuf};
use lanyard_node_agent_abi::event::{ExecEvent, FlowEvent, RefusalEvent};

use tokio::io::unix::AsyncFd;

use super::{
    maps::{MapError, pinned},
    pins::Pins,
    shared::from_ring,
};

/// The three rings.
pub struct Rings {
    /// Executions and ends of images.
    pub execs: Ring,
    /// Refusals.
    pub refusals: Ring,
    /// Established connections.
    pub flows: Ring,
}

impl Rings {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapError> {
        Ok(Self {
            execs: Ring::open(pins, "EXECS")?,
            refusals: Ring::open(pins, "REFUSALS")?,
            flows: Ring::open(pins, "FLOWS")?,
        })
    }
}

/// An execution with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRecord {
    /// What the kernel told.
    pub event: ExecEvent,
    /// Each argument, ended by a NUL; nothing where nobody asked for them.
    pub arguments: Vec<u8>,
}

/// One ring. Its descriptor is readable when there is something in it.
pub struct Ring(RingBuf<MapData>);

impl Ring {
    fn open(pins: &Pins, name: &'static str) -> Result<Self, MapError> {
        let ring = RingBuf::try_from(Map::RingBuf(pinned(pins, name)?));
        ring.map(Self).map_err(super::maps::failed("open", name))
    }

    /// The ring, told of by the runtime when there is something in it.
    pub fn watch(self) -> io::Result<AsyncFd<Self>> {
        #[expect(
            unsafe_code,
            reason = "tokio wants the promise that the descriptor stays the same one"
        )]
        // SAFETY: `as_raw_fd` is the map's own descriptor, which the ring owns and never changes.
        unsafe {
            AsyncFd::register(self).map_err(io::Error::from)
        }
    }

    /// The next event of ring `EXECS`.
    pub fn next_exec(&mut self) -> Option<ExecRecord> {
        let item = self.0.next()?;
        let (event, arguments) = item.split_at_checked(size_of::<ExecEvent>())?;
        Some(ExecRecord {
            event: from_ring(event)?,
            arguments: arguments.to_vec(),
        })
    }

    /// The next event of ring `REFUSALS`.
    pub fn next_refusal(&mut self) -> Option<RefusalEvent> {
        from_ring(&self.0.next()?)
    }

    /// The next event of ring `FLOWS`.
    pub fn next_flow(&mut self) -> Option<FlowEvent> {
        from_ring(&self.0.next()?)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
