//! The compiler version that the crates state is not newer than the one that builds them here,
//! and all state the same.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::Context as _;

use super::{Subject, Verdict};
use crate::command::stdout_of;

/// The check.
pub(crate) fn check(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let stated: BTreeSet<Option<&str>> = subject
        .workspace
        .packages
        .iter()
        .map(|package| package.rust_version.as_deref())
        .collect();
    let compiler = stdout_of(
        Command::new("rustc")
            .arg("--version")
            .current_dir(&subject.context.root),
    )?;
    decide(&stated, &compiler)
}

fn decide(stated: &BTreeSet<Option<&str>>, compiler: &str) -> anyhow::Result<Verdict> {
    let &[Some(one)] = stated.iter().copied().collect::<Vec<_>>().as_slice() else {
        return Ok(Verdict::Failed {
            report: format!("the crates state different versions, or none: {stated:?}"),
        });
    };
    let have = compiler
        .split(' ')
        .nth(1)
        .and_then(minor)
        .with_context(|| format!("understand {compiler:?}"))?;
    let want = minor(one).with_context(|| format!("understand rust-version {one:?}"))?;
    if want > have {
        return Ok(Verdict::Failed {
            report: format!(
                "the crates need {one}, this compiler is {}",
                compiler.trim()
            ),
        });
    }
    Ok(Verdict::Passed {
        note: format!("{one} with {}", compiler.trim()),
    })
}

fn minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(stated: &[Option<&str>], compiler: &str) -> bool {
        matches!(
            decide(&stated.iter().copied().collect(), compiler).unwrap(),
            Verdict::Passed { .. }
        )
    }

    #[test]
    fn an_older_or_equal_stated_version_is_fine() {
        assert!(passes(&[Some("1.95")], "rustc 1.95.0 (abc 2026-04-14)\n"));
        assert!(passes(&[Some("1.95")], "rustc 1.100.0 (abc 2026-12-14)\n"));
    }

    #[test]
    fn a_newer_a_missing_or_a_second_version_is_refused() {
        assert!(!passes(&[Some("1.96")], "rustc 1.95.0 (abc 2026-04-14)\n"));
        assert!(!passes(&[None], "rustc 1.95.0 (abc 2026-04-14)\n"));
        assert!(!passes(
            &[Some("1.95"), Some("1.94")],
            "rustc 1.95.0 (abc 2026-04-14)\n"
        ));
    }
}
