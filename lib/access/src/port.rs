//! TCP and UDP ports.

use std::{fmt, num::NonZeroU16};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a number is not a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} is not a port: a number from 1 to 65535 is expected")]
pub struct PortError(i64);

/// A port from 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u16")]
pub struct Port(NonZeroU16);

impl Port {
    /// Checks a number.
    pub fn new(number: i64) -> Result<Self, PortError> {
        u16::try_from(number)
            .ok()
            .and_then(NonZeroU16::new)
            .map(Self)
            .ok_or(PortError(number))
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<i64> for Port {
    type Error = PortError;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        Self::new(number)
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_1_to_65535_are_ports() {
        for bad in [0, -1, 65_536, i64::MAX] {
            assert!(Port::new(bad).is_err(), "{bad} was accepted");
        }
        assert_eq!(Port::new(65_535).unwrap().get(), 65_535);
    }
}
