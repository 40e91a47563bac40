//! The seccomp filters: refusals become programs that the kernel runs at each system call.
//!
//! A call of another architecture ends the process: its numbers mean something else.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use thiserror::Error;

use super::system_calls::{Argument, Call, Is, Refusal, Strictness, refusals};

#[cfg(target_arch = "x86_64")]
const MACHINE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: TargetArch = TargetArch::aarch64;

/// Why there is no filter.
#[derive(Debug, Error)]
pub(crate) enum FilterError {
    #[error("the filter of system calls cannot be built: {0}")]
    Build(#[from] seccompiler::BackendError),
    #[error("the filter of system calls cannot be installed: {0}")]
    Install(#[source] seccompiler::Error),
}

/// Installs the filters.
pub(crate) fn apply(strictness: Strictness) -> Result<(), FilterError> {
    for program in programs(strictness)? {
        apply_filter(&program).map_err(FilterError::Install)?;
    }
    Ok(())
}

/// One program for each answer; the kernel runs all, and a refusal by any of them holds.
fn programs(strictness: Strictness) -> Result<Vec<BpfProgram>, FilterError> {
    let mut programs = refusals(strictness)
        .iter()
        .map(program)
        .collect::<Result<Vec<_>, _>>()?;
    programs.push(second_numbering());
    Ok(programs)
}

fn program(refusal: &Refusal) -> Result<BpfProgram, FilterError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for Call { number, when } in &refusal.calls {
        let chain = when
            .iter()
            .map(|arguments| rule(arguments))
            .collect::<Result<Vec<_>, _>>()?;
        rules.entry(*number).or_default().extend(chain);
    }
    let answer = SeccompAction::Errno(refusal.errno.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, MACHINE)?;
    Ok(filter.try_into()?)
}

fn rule(arguments: &[Argument]) -> Result<SeccompRule, FilterError> {
    let conditions = arguments
        .iter()
        .map(condition)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(SeccompRule::new(conditions)?)
}

fn condition(argument: &Argument) -> Result<SeccompCondition, FilterError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let (length, comparison, value) = match argument.is {
        Is::Equal(value) => (Dword, SeccompCmpOp::Eq, value),
        Is::Not(value) => (Dword, SeccompCmpOp::Ne, value),
        Is::With(mask) => (Dword, SeccompCmpOp::MaskedEq(mask.into()), mask),
        Is::Address => (Qword, SeccompCmpOp::Ne, 0),
    };
    Ok(SeccompCondition::new(
        argument.index,
        length,
        comparison,
        value.into(),
    )?)
}

/// On x86-64 the calls of x32 have the same architecture and numbers of their own, from 2^30 on
/// (`__X32_SYSCALL_BIT`), so that no list above has them. They are answered as by a kernel without
/// x32; another architecture has no such numbers.
fn second_numbering() -> BpfProgram {
    // linux/bpf_common.h: load a word, jump if greater or equal, return.
    const LOAD: u16 = 0x20;
    const JUMP: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let step = |code, jf, k| seccompiler::sock_filter { code, jt: 0, jf, k };
    let unknown = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    vec![
        step(LOAD, 0, 0),
        step(JUMP, 1, 0x4000_0000),
        step(RETURN, 0, unknown.into()),
        step(RETURN, 0, SeccompAction::Allow.into()),
    ]
}

#[cfg(test)]
#[path = "filter/verdicts.rs"]
mod verdicts;
