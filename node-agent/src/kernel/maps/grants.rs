//! What is granted: destinations, networks and slots.

use aya::maps::lpm_trie::Key as Prefix;
use lanyard_node_agent_abi::grant::{Grant, GrantKey, KEY_BITS, Slot};

use super::{MapError, Maps, failed, ignore_missing};
use crate::kernel::shared::Shared;

impl Maps {
    /// Every grant.
    pub fn grants(&self) -> Vec<(GrantKey, Grant)> {
        self.grants
            .iter()
            .filter_map(Result::ok)
            .map(|(key, grant)| (key.0, grant.0))
            .collect()
    }

    /// Every grant for a network, with the length of its prefix in the address's bits.
    pub fn networks(&self) -> Vec<(GrantKey, u32, Grant)> {
        self.networks
            .iter()
            .filter_map(Result::ok)
            .map(|(key, grant)| {
                (
                    key.data().0,
                    key.prefix_len().saturating_sub(KEY_BITS),
                    grant.0,
                )
            })
            .collect()
    }

    /// Opens a network, whose prefix has that many of the address's bits.
    pub fn set_network(&mut self, key: GrantKey, bits: u32, grant: Grant) -> Result<(), MapError> {
        self.networks
            .insert(&Prefix::new(KEY_BITS + bits, Shared(key)), Shared(grant), 0)
            .map_err(failed("write", "NETWORK"))
    }

    /// Closes a network.
    pub fn remove_network(&mut self, key: GrantKey, bits: u32) -> Result<(), MapError> {
        ignore_missing(
            self.networks
                .remove(&Prefix::new(KEY_BITS + bits, Shared(key))),
        )
        .map_err(failed("write", "NETWORK"))
    }

    /// Opens a destination.
    pub fn set_grant(&mut self, key: GrantKey, grant: Grant) -> Result<(), MapError> {
        self.grants
            .insert(Shared(key), Shared(grant), 0)
            .map_err(failed("write", "GRANT"))
    }

    /// Closes a destination.
    pub fn remove_grant(&mut self, key: GrantKey) -> Result<(), MapError> {
        ignore_missing(self.grants.remove(&Shared(key))).map_err(failed("write", "GRANT"))
    }

    /// A slot as it is.
    pub fn slot(&self, number: u32) -> Result<Slot, MapError> {
        self.slots
            .get(&number, 0)
            .map(|slot| slot.0)
            .map_err(failed("read", "SLOT"))
    }

    /// Sets a slot.
    pub fn set_slot(&mut self, number: u32, slot: Slot) -> Result<(), MapError> {
        self.slots
            .set(number, Shared(slot), 0)
            .map_err(failed("write", "SLOT"))
    }
}
