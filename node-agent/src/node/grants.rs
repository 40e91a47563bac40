//! From what is written to what the kernel and the brokers hold.

use lanyard_access::{
    desired::DesiredAgent,
    identity::{Enforcement, ProcessAccess},
    object::{ObjectKey, Uid},
    reason::GrantReason,
};
use lanyard_node_agent_abi::grant::Slot;
use lanyard_protocol::record::{Event, GrantRef};
use tracing::error;

use super::{Node, NodeError};
use crate::{
    desired::{Step, openings},
    kernel::clock::Moment,
    names::TooManyNames,
};

impl Node {
    /// Brings the kernel and the brokers into agreement with what is written at `now`. `by` is who
    /// revoked, if that is what changed.
    pub fn apply(&mut self, now: Moment, by: Option<&str>) {
        let delta = self.compiler.compile(now.wall);
        for grant in &delta.grants {
            self.record_standing(grant, now, by);
        }
        let touched = self
            .scopes
            .iter()
            .filter(|(_, scope)| delta.agents.contains(&scope.agent));
        let scopes: Vec<u32> = touched.map(|(id, _)| *id).collect();
        for scope in scopes {
            self.reattest(scope, now);
            self.apply_to_scope(scope, now);
        }
        self.keep();
    }

    /// Time has passed: what ends by now ends.
    pub fn on_time(&mut self, now: Moment) {
        for slot in self.slots.past(now.boot) {
            self.sever(slot);
        }
        self.apply(now, None);
    }

    /// When [`Self::on_time`] is due next, in nanoseconds of the boot clock.
    pub fn next_time(&self, now: Moment) -> Option<u64> {
        let standing = self
            .compiler
            .next_change()
            .map(|at| now.boot_of(at).max(now.boot));
        let deadline = self.slots.next_deadline(now.boot);
        standing.into_iter().chain(deadline).min()
    }

    /// Brings one scope's kernel entries and its broker into agreement with its agent's grants.
    pub fn apply_to_scope(&mut self, id: u32, now: Moment) {
        let Some(scope) = self.scopes.get_mut(&id) else {
            return;
        };
        let nothing = DesiredAgent {
            key: scope.agent.clone(),
            uid: Uid::new(""),
            processes: Vec::new(),
            enforcement: Enforcement::Enforce,
            process_access: ProcessAccess::None,
            grants: Vec::new(),
        };
        let agent = self
            .compiler
            .desired()
            .agents
            .get(&scope.agent)
            .unwrap_or(&nothing);
        let (wanted, refused) = openings(
            agent,
            id,
            &scope.name,
            &mut scope.names,
            &mut self.deadlines,
            now,
        );
        if !refused.is_empty() && scope.refused_names != refused {
            error!(
                scope = scope.name,
                names = refused.len(),
                "names were refused, for {TooManyNames}"
            );
        }
        scope.refused_names = refused;
        let (steps, fits) = self.slots.steps(id, &wanted);
        if let Err(error) = fits {
            error!(%error, "a grant was not applied");
        }
        for step in steps {
            if let Err(error) = self.take(step) {
                error!(%error, "a step towards the grants of a scope failed");
            }
        }
        if let Err(error) = self.apply_settings(id) {
            error!(%error, "what holds in a scope could not be written");
        }
        self.send_state(id);
    }

    pub(super) fn take(&mut self, step: Step) -> Result<(), NodeError> {
        match step {
            Step::Begin(slot, deadline) => {
                let generation = self.maps.slot(slot)?.generation.wrapping_add(1);
                self.maps.set_slot(
                    slot,
                    Slot {
                        deadline,
                        generation,
                    },
                )?;
            }
            Step::Move(slot, deadline) => {
                let generation = self.maps.slot(slot)?.generation;
                self.maps.set_slot(
                    slot,
                    Slot {
                        deadline,
                        generation,
                    },
                )?;
            }
            Step::End(slot) => {
                let generation = self.maps.slot(slot)?.generation;
                self.maps.set_slot(
                    slot,
                    Slot {
                        deadline: 0,
                        generation,
                    },
                )?;
                self.sever(slot);
            }
            Step::Open(key, grant) if key.is_one_address() => {
                self.maps.set_grant(key.to_abi(), grant)?;
            }
            Step::Open(key, grant) => {
                self.maps
                    .set_network(key.to_abi(), u32::from(key.bits), grant)?;
            }
            Step::Close(key) if key.is_one_address() => self.maps.remove_grant(key.to_abi())?,
            Step::Close(key) => {
                self.maps
                    .remove_network(key.to_abi(), u32::from(key.bits))?;
            }
        }
        Ok(())
    }

    fn record_standing(&mut self, key: &ObjectKey, now: Moment, by: Option<&str>) {
        let Some(standing) = self.compiler.desired().grants.get(key).cloned() else {
            return;
        };
        if standing.reason != GrantReason::Active {
            // What has ended by the wall clock stays ended, whatever that clock says later.
            let spec = (standing.uid.clone(), standing.spec_hash);
            let has_ended = matches!(standing.reason, GrantReason::Expired | GrantReason::Revoked);
            if has_ended && standing.ends_at.is_some() {
                self.deadlines.bound(&spec, now.boot);
            }
        }
        let event = Event::GrantChanged {
            grant: GrantRef {
                key: key.clone(),
                uid: standing.uid,
                spec_hash: standing.spec_hash,
            },
            agent: standing.identity,
            reason: standing.reason,
            ends_at: standing.ends_at,
            by: by
                .filter(|_| standing.reason == GrantReason::Revoked)
                .map(str::to_owned),
        };
        self.record(event, now);
    }
}
