//! What all nodes say about one grant, in one condition.

use lanyard_access::{
    desired::LiveGrant,
    object::{ObjectKey, ObjectName},
};
use lanyard_crds::access_grant::status::EnforcedReason;

use super::followers::Word;

/// How many failed nodes are named.
pub const MOST_NAMED: usize = 5;

/// What all nodes say about one grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enforced {
    /// In one word.
    pub reason: EnforcedReason,
    /// With counts.
    pub message: String,
}

/// Folds what the nodes that run `agent` say into one. `live` is the grant as they have to have it;
/// without it they must not have it any more.
pub fn fold<'a>(
    agent: &ObjectKey,
    grant: &ObjectKey,
    live: Option<&LiveGrant>,
    nodes: impl Iterator<Item = (&'a ObjectName, Word<'a>)>,
) -> Enforced {
    let (mut all, mut holding, mut failed) = (0_usize, 0_usize, Vec::new());
    for (node, word) in nodes {
        all += 1;
        match word {
            Word::Refused(reason) => failed.push((node, reason)),
            Word::Silent => {}
            Word::Holds(view) => {
                let agent = view.agents.get(agent);
                let held = agent
                    .and_then(|agent| agent.desired.grants.iter().find(|held| held.key == *grant));
                let knows_agent = agent.is_some() || live.is_none();
                holding += usize::from(knows_agent && held == live);
            }
        }
    }
    let counts = format!("{holding} of {all} nodes");
    let (reason, message) = if all == 0 {
        let reason = EnforcedReason::NoNodes;
        (reason, reason.meaning().to_owned())
    } else if !failed.is_empty() {
        let named = failed.iter().take(MOST_NAMED);
        let named: Vec<String> = named.map(|(node, why)| format!("{node} ({why})")).collect();
        let more = match failed.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!("{counts}; failed: {}{more}", named.join(", "));
        (EnforcedReason::Failed, message)
    } else if holding < all {
        (EnforcedReason::Pending, counts)
    } else {
        (EnforcedReason::Acknowledged, counts)
    };
    Enforced { reason, message }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use lanyard_access::{
        desired::DesiredAgent,
        identity::{Enforcement, ProcessAccess},
        object::Uid,
    };
    use lanyard_protocol::nodes::NodeAgent;

    use super::*;
    use crate::decide::view::View;

    fn holding() -> View {
        let key: ObjectKey = "team/bot".parse().unwrap();
        let agent = NodeAgent {
            spiffe_id: "spiffe://example.org/a".parse().unwrap(),
            exempt_containers: BTreeSet::new(),
            desired: DesiredAgent {
                key: key.clone(),
                uid: Uid::new("u"),
                processes: Vec::new(),
                enforcement: Enforcement::Enforce,
                process_access: ProcessAccess::None,
                grants: Vec::new(),
            },
        };
        View {
            agents: [(key, Arc::new(agent))].into(),
            ..View::default()
        }
    }

    fn of(words: &[Word<'_>]) -> Enforced {
        let names: Vec<ObjectName> = (0..words.len())
            .map(|n| format!("n{n}").parse().unwrap())
            .collect();
        let agent = "team/bot".parse().unwrap();
        let grant = "team/g".parse().unwrap();
        fold(
            &agent,
            &grant,
            None,
            names.iter().zip(words.iter().copied()),
        )
    }

    #[test]
    fn all_have_to_say_so() {
        let view = holding();
        assert_eq!(of(&[]).reason, EnforcedReason::NoNodes);
        assert_eq!(
            of(&[Word::Holds(&view)]).reason,
            EnforcedReason::Acknowledged
        );
        let some = of(&[Word::Holds(&view), Word::Silent]);
        assert_eq!(
            (some.reason, &*some.message),
            (EnforcedReason::Pending, "1 of 2 nodes")
        );
    }

    #[test]
    fn at_most_five_that_failed_are_named() {
        let all = of(&[Word::Refused("map full"); 7]);
        assert_eq!(all.reason, EnforcedReason::Failed);
        assert_eq!(all.message.matches("map full").count(), MOST_NAMED);
        assert!(
            all.message
                .starts_with("0 of 7 nodes; failed: n0 (map full), ")
        );
        assert!(all.message.ends_with(" and 2 more"));
    }
}
