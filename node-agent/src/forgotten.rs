//! What is forgotten as time goes by: secrets that rested for long enough, and counts of grants that are gone.

use std::{collections::BTreeSet, time::Duration};

use lanyard_access::{credential::CredentialSource, reason::GrantReason};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    credentials::{Claim, Wanted},
    deadline::Spec,
    kernel::clock::Moment,
    node::{Node, Shared},
    usage,
};

/// How often secrets are looked at: one rests so much longer than it should, and no more.
const SECRETS: Duration = Duration::from_secs(1);

/// Every so many times counts are looked at, too: that reads a folder.
const COUNTS: u32 = 600;

/// Forgets, for as long as the node agent lives.
pub async fn forget(node: &Shared) {
    let mut tick = interval(SECRETS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in (1..=COUNTS).cycle() {
        tick.tick().await;
        let mut node = node.borrow_mut();
        forget_secrets(&mut node, Moment::now());
        if turn == COUNTS {
            forget_counts(&mut node);
        }
    }
}

fn forget_secrets(node: &mut Node, now: Moment) {
    let proxy = node.credentials.machine_proxy();
    let of_proxy = proxy
        .and_then(|proxy| proxy.secret)
        .map(CredentialSource::of_machine);
    let written = &node.compiler.written().credentials;
    let grants = &node.compiler.desired().grants;
    let is_active = |claim: &Claim| {
        let standing = grants.get(&claim.grant);
        standing.is_some_and(|standing| {
            standing.uid == claim.grant_uid && standing.reason == GrantReason::Active
        })
    };
    let is_wanted = |wanted: &Wanted| match wanted {
        Wanted::Here(source) => {
            written.get(&source.key) == Some(source) || of_proxy.as_ref() == Some(source)
        }
        Wanted::OfAuthority(claim) => is_active(claim),
    };
    node.resting.sweep(is_wanted, now.boot);
}

fn forget_counts(node: &mut Node) {
    let written = node.compiler.written().grants.values();
    let written = written.map(|grant| (grant.uid.clone(), grant.spec_hash));
    let standing = node.compiler.desired().grants.values();
    let standing = standing.map(|grant| (grant.uid.clone(), grant.spec_hash));
    let specs: BTreeSet<Spec> = written.chain(standing).collect();
    let folder = usage::folder_of(node);
    node.usage.sweep(&folder, |spec| specs.contains(spec));
}
