//! Runs a program as on a kernel without IPv6: no socket of that family can be made, by it or by what it starts.

use std::{env, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let program = arguments.next().context("the program to run")?;
    let family = u64::try_from(libc::AF_INET6)?;
    let is_v6 = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family)?;
    let rules = [(libc::SYS_socket, vec![SeccompRule::new(vec![is_v6])?])];
    // As socket(2) answers for a family that the kernel does not have.
    let unknown = SeccompAction::Errno(libc::EAFNOSUPPORT.cast_unsigned());
    let machine = env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules.into(), SeccompAction::Allow, unknown, machine)?;
    let filter: BpfProgram = filter.try_into()?;
    apply_filter(&filter).context("install the filter of system calls")?;
    Err(Command::new(program).args(arguments).exec()).context("execute the program")
}
