//! Plain types at aya's door.

use aya::Pod;
use lanyard_node_agent_abi::plain::Plain;

/// A plain type as a key or a value of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Shared<T: Plain>(pub(crate) T);

#[expect(
    unsafe_code,
    reason = "the map accessors want aya's own promise about memory"
)]
// SAFETY: transparent around a type that promises to have no padding and no invalid bit pattern.
unsafe impl<T: Plain> Pod for Shared<T> {}

/// Reads an event of a ring. Nothing if the kernel sent another length.
pub(crate) fn from_ring<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    #[expect(
        unsafe_code,
        reason = "an event is its bytes; no safe read of a foreign plain type exists"
    )]
    // SAFETY: exactly as many bytes as the type has, every bit pattern of which is a value; unaligned.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use lanyard_node_agent_abi::{
        event::{ExecEvent, FlowEvent, RefusalEvent},
        grant::{Grant, GrantKey, Slot},
        pod::BrokerPort,
        process::{ArmedFile, Image, Process, ScopeSettings, Usage},
        settings::Offsets,
        tag::Tag,
        unix::UnixKey,
    };

    use super::*;

    fn bytes_of<T: Plain>(value: &T) -> &[u8] {
        #[expect(unsafe_code, reason = "the bytes as the kernel gets them")]
        // SAFETY: a plain type has no byte that is not set, and the bytes live as long as the value.
        unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>())
        }
    }

    fn comes_back<T: Plain + PartialEq + std::fmt::Debug>() {
        let pattern: Vec<u8> = (1..=251_u8).cycle().take(size_of::<T>()).collect();
        let value: T = from_ring(&pattern).unwrap();
        assert_eq!(bytes_of(&value), pattern);
        assert_eq!(from_ring::<T>(bytes_of(&value)), Some(value));
        assert_eq!(from_ring::<T>(&pattern[1..]), None, "cut");
        assert_eq!(from_ring::<T>(&[&pattern[..], &[0]].concat()), None);
    }

    #[test]
    fn every_shared_type_is_its_bytes_there_and_back() {
        comes_back::<ExecEvent>();
        comes_back::<RefusalEvent>();
        comes_back::<FlowEvent>();
        comes_back::<GrantKey>();
        comes_back::<Grant>();
        comes_back::<Slot>();
        comes_back::<Process>();
        comes_back::<ScopeSettings>();
        comes_back::<Usage>();
        comes_back::<ArmedFile>();
        comes_back::<Image>();
        comes_back::<Tag>();
        comes_back::<UnixKey>();
        comes_back::<BrokerPort>();
        comes_back::<Offsets>();
    }
}
