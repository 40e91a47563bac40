//! What narrows never widens.

use std::collections::BTreeMap;

use proptest::{collection, prelude::*};

use super::world::{HOUR, answers, any_policy, any_step, everyone, take_all};
use crate::{
    approval::Verdict,
    compile::{Change, Compiler, Written},
    decide::Decision,
    desired::Desired,
    evidence::EvidenceLevel,
    grant::Grant,
    policy::{Effect, Policy},
    sample::{self, at, minutes},
};

/// Something that a person does to have less reachable. The number says to which object.
#[derive(Debug, Clone)]
enum Narrowing {
    AddPolicy(Policy),
    LowerLimit(usize),
    LowerApprovals(usize),
    AddApprover(usize),
    Revoke(usize),
    RaiseRequirement(usize),
    EndEarlier(usize),
    DeleteGrant(usize),
    DeleteCredential(usize),
    DeleteIdentity(usize),
    DeleteApproval(usize),
    Reject(usize),
}

fn any_narrowing() -> impl Strategy<Value = Narrowing> {
    let number = || 0..4_usize;
    prop_oneof![
        2 => any_policy().prop_map(|policy| Narrowing::AddPolicy(Policy {
            name: "new".parse().unwrap(),
            ..policy
        })),
        1 => number().prop_map(Narrowing::LowerLimit),
        1 => number().prop_map(Narrowing::LowerApprovals),
        1 => number().prop_map(Narrowing::AddApprover),
        2 => number().prop_map(Narrowing::Revoke),
        2 => number().prop_map(Narrowing::RaiseRequirement),
        1 => number().prop_map(Narrowing::EndEarlier),
        1 => number().prop_map(Narrowing::DeleteGrant),
        1 => number().prop_map(Narrowing::DeleteCredential),
        1 => number().prop_map(Narrowing::DeleteIdentity),
        1 => number().prop_map(Narrowing::DeleteApproval),
        1 => number().prop_map(Narrowing::Reject),
    ]
}

fn pick<K, V: Clone>(map: &BTreeMap<K, V>, number: usize) -> Option<V> {
    map.values().cycle().nth(number).cloned()
}

fn changed_grant(
    written: &Written,
    number: usize,
    change: impl FnOnce(&mut Grant),
) -> Option<Change> {
    let mut grant = pick(&written.grants, number)?;
    change(&mut grant);
    Some(Change::Grant(grant.key.clone(), Some(grant)))
}

fn changed_limits(
    written: &Written,
    number: usize,
    change: impl FnOnce(&mut crate::policy::Limits),
) -> Option<Change> {
    let mut policy = pick(&written.policies, number)?;
    match &mut policy.effect {
        Effect::Deny => return None,
        Effect::Limit(limits) => change(limits),
    }
    Some(Change::Policy(policy.name.clone(), Some(policy)))
}

impl Narrowing {
    fn change(self, written: &Written) -> Option<Change> {
        match self {
            Self::AddPolicy(policy) => Some(Change::Policy(policy.name.clone(), Some(policy))),
            Self::LowerLimit(n) => changed_limits(written, n, |limits| {
                limits.max_duration = Some(minutes(2));
            }),
            Self::LowerApprovals(n) => changed_limits(written, n, |limits| {
                if let Some(rule) = &mut limits.approval {
                    rule.valid_for = minutes(2);
                }
            }),
            Self::AddApprover(n) => changed_limits(written, n, |limits| {
                if let Some(rule) = &mut limits.approval {
                    rule.count += 1;
                }
            }),
            Self::Revoke(n) => changed_grant(written, n, |grant| grant.revoked = true),
            Self::RaiseRequirement(n) => changed_grant(written, n, |grant| {
                grant.requires = Some(EvidenceLevel::Image);
            }),
            Self::EndEarlier(n) => changed_grant(written, n, |grant| {
                grant.lifetime = match grant.lifetime {
                    crate::lifetime::Lifetime::For(_) => crate::lifetime::Lifetime::For(minutes(1)),
                    crate::lifetime::Lifetime::Until(end) => {
                        crate::lifetime::Lifetime::Until(end.min(at(5)))
                    }
                };
            }),
            Self::DeleteGrant(n) => {
                pick(&written.grants, n).map(|grant| Change::Grant(grant.key, None))
            }
            Self::DeleteCredential(n) => pick(&written.credentials, n)
                .map(|credential| Change::Credential(credential.key, None)),
            Self::DeleteIdentity(n) => {
                pick(&written.identities, n).map(|identity| Change::Identity(identity.key, None))
            }
            Self::DeleteApproval(n) => pick(&written.approvals, n)
                .filter(|approval| approval.verdict == Verdict::Approve)
                .map(|approval| Change::Approval(approval.key, None)),
            Self::Reject(n) => {
                let mut no = sample::approval(&pick(&written.grants, n)?, "eve", at(0));
                no.verdict = Verdict::Reject;
                Some(Change::Approval(no.key.clone(), Some(no)))
            }
        }
    }
}

/// The first thing that `narrow` allows and `wide` does not, or allows longer.
fn widened(wide: &Desired, narrow: &Desired) -> Option<String> {
    for (key, agent) in &narrow.agents {
        let Some(before) = wide.agents.get(key) else {
            return Some(format!("{key} is new"));
        };
        let slots = before.slots();
        for (destination, ends) in agent.slots() {
            for (level, end) in ends {
                let old = slots.get(&destination).and_then(|ends| ends.get(&level));
                if old.is_none_or(|old| *old < end) {
                    return Some(format!("{key} {destination:?} {level} until {end}"));
                }
            }
        }
        for minute in HOUR {
            let pairs = answers(before, at(minute)).into_iter();
            for pair in pairs.zip(answers(agent, at(minute))) {
                if let (Decision::Refuse(refusal), Decision::Allow(grant)) = pair {
                    return Some(format!(
                        "{key} by {} at {minute}, was {}",
                        grant.key, refusal.reason
                    ));
                }
            }
        }
    }
    None
}

proptest! {
    #[test]
    fn narrowing_never_widens(
        steps in collection::vec(any_step(), 4..24),
        before in HOUR,
        more_steps in collection::vec(any_step(), 0..8),
        now in HOUR,
        narrowing in any_narrowing(),
    ) {
        let mut compiler: Compiler = everyone();
        take_all(&mut compiler, steps);
        compiler.compile(at(before));
        take_all(&mut compiler, more_steps);
        compiler.compile(at(now));
        let wide = compiler.desired().clone();
        if let Some(change) = narrowing.change(compiler.written()) {
            compiler.apply(change);
            compiler.compile(at(now));
            prop_assert_eq!(widened(&wide, compiler.desired()), None);
        }
    }
}
