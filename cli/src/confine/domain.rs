//! The Landlock domain: rules become what the kernel holds.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope,
};
use rustix::{
    fd::OwnedFd,
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
};
use thiserror::Error;

use super::plan::{Links, Rights, Rule};

/// What is held closed, as far as the kernel knows it. Unix sockets in the file system (ABI 9) are
/// the kernel programs' to decide: the local policy allows some, and this process knows them not.
const HELD: ABI = ABI::V8;

/// Why there is no domain.
#[derive(Debug, Error)]
pub(crate) enum DomainError {
    #[error("the folder {path} cannot be opened: {source}", path = .path.display())]
    Open { path: PathBuf, source: Errno },
    #[error("the Landlock domain cannot be made: {0}")]
    Make(#[source] RulesetError),
    #[error("the Landlock domain cannot be entered: {0}")]
    Enter(#[source] RulesetError),
}

/// Enters a domain with these rules. On a kernel that lacks something, the rest is held.
pub(crate) fn enter(rules: &[Rule]) -> Result<(), DomainError> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(HELD))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(HELD)))
        .and_then(Ruleset::create)
        .map_err(DomainError::Make)?;
    rules
        .iter()
        .try_fold(ruleset, |ruleset, rule| match open(rule)? {
            Some(file) => {
                let rights = rights(rule.rights, is_folder(&file));
                let rule = PathBeneath::new(file, rights);
                ruleset.add_rule(rule).map_err(DomainError::Make)
            }
            None => Ok(ruleset),
        })?
        .restrict_self()
        .map_err(DomainError::Enter)?;
    Ok(())
}

/// Opens the path of a rule. What is not there, or not for this user, needs no rule.
fn open(rule: &Rule) -> Result<Option<OwnedFd>, DomainError> {
    let resolve = match rule.links {
        Links::Follow => ResolveFlags::empty(),
        Links::Refuse => ResolveFlags::NO_SYMLINKS,
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match openat2(CWD, &rule.path, flags, Mode::empty(), resolve) {
        Ok(file) => Ok(Some(file)),
        Err(_) if rule.rights != Rights::Own => Ok(None),
        Err(source) => Err(DomainError::Open {
            path: rule.path.clone(),
            source,
        }),
    }
}

fn is_folder(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

fn rights(rights: Rights, is_folder: bool) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let all = match rights {
        Rights::List => AccessFs::ReadDir.into(),
        Rights::Read => read,
        Rights::Execute => read | AccessFs::Execute,
        Rights::Device => read | AccessFs::WriteFile | AccessFs::IoctlDev,
        Rights::Own => AccessFs::from_all(HELD) & !(AccessFs::MakeBlock | AccessFs::MakeChar),
    };
    if is_folder {
        all
    } else {
        all & AccessFs::from_file(HELD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_not_written_and_no_device_is_made() {
        let write = AccessFs::from_write(HELD);
        for reading in [Rights::List, Rights::Read, Rights::Execute] {
            assert!((rights(reading, true) & write).is_empty(), "{reading:?}");
        }
        let own = rights(Rights::Own, true);
        assert!(own.contains(AccessFs::WriteFile | AccessFs::Refer | AccessFs::Truncate));
        assert!(!own.intersects(AccessFs::MakeBlock | AccessFs::MakeChar));
        assert!(!rights(Rights::Device, true).contains(AccessFs::MakeReg));
    }

    #[test]
    fn a_rule_on_a_file_has_the_rights_of_files() {
        let file = rights(Rights::Execute, false);
        assert_eq!(file, AccessFs::ReadFile | AccessFs::Execute);
    }
}
