mod clock;
mod delta;
mod memory;
mod received;

use super::*;
use crate::{
    desired::GrantStanding,
    reason::GrantReason,
    sample::{at, grant, identity, key},
};

/// A compiler that knows `team/bot` and one grant of ten minutes for it, not compiled yet.
fn fed() -> Compiler {
    let written = Written::default()
        .with_identity(identity("team/bot"))
        .with_grant(open());
    let mut compiler = Compiler::default();
    compiler.replace(written);
    compiler
}

fn open() -> Grant {
    grant("team/g", "team/bot")
}

fn write(compiler: &mut Compiler, grant: Grant) {
    compiler.apply(Change::Grant(grant.key.clone(), Some(grant)));
}

/// Where `team/g` stands at that minute, and how many grants the agent has.
fn stand(compiler: &mut Compiler, minute: i64) -> (GrantStanding, usize) {
    compiler.compile(at(minute));
    let standing = compiler.desired().grants[&key("team/g")].clone();
    let agent = &compiler.desired().agents[&key("team/bot")];
    (standing, agent.grants.len())
}

fn reason(compiler: &mut Compiler, minute: i64) -> GrantReason {
    stand(compiler, minute).0.reason
}

/// When `team/g` ends, in minutes after noon, if it is active at that minute.
fn active_until(compiler: &mut Compiler, minute: i64) -> Option<i64> {
    let (standing, live) = stand(compiler, minute);
    assert_eq!(live == 1, standing.reason == GrantReason::Active);
    let ends_at = standing.ends_at.filter(|_| live == 1)?;
    Some((ends_at.as_second() - at(0).as_second()) / 60)
}
