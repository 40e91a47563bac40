//! The script that an interpreter runs: which one, what is in it, and whether the agent could change it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use lanyard_access::{digest::Sha256Digest, reason::AttestationReason};
use lanyard_node_agent_abi::event::{ExecEvent, evidence};

use super::file::{Digests, digest_of_script};

/// What was found at a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFacts {
    /// Its path, as it was given.
    pub path: String,
    /// What is in it.
    pub digest: Sha256Digest,
    /// Whether a process of the scope could change it, or put another in its place.
    pub is_writable: bool,
}

/// The path of the script that was given at the execution: the executed file's own for `#!`, else the first
/// argument, which must be no option.
///
/// Only absolute paths count: a process may change its folder before anybody looks.
pub fn path_of(event: &ExecEvent, arguments: &[u8]) -> Result<String, AttestationReason> {
    let given = if event.evidence & evidence::SCRIPT != 0 {
        event.name.split(|byte| *byte == 0).next()
    } else {
        let mut whole = arguments.split_inclusive(|byte| *byte == 0);
        let first = whole
            .nth(1)
            .and_then(|argument| argument.strip_suffix(b"\0"));
        if first.is_none() && event.evidence & evidence::ARGUMENTS_UNREAD != 0 {
            return Err(AttestationReason::ArgumentsUnread);
        }
        first
    };
    let given = given.filter(|path| path.starts_with(b"/"));
    let text = given.and_then(|path| std::str::from_utf8(path).ok());
    text.map(str::to_owned)
        .ok_or(AttestationReason::ScriptMismatch)
}

/// Looks at the script of a process, in that process's own view of the file system.
pub fn gather(
    event: &ExecEvent,
    arguments: &[u8],
    digests: &Digests,
) -> Result<ScriptFacts, AttestationReason> {
    let path = path_of(event, arguments)?;
    let root = PathBuf::from(format!("/proc/{}/root", event.tgid));
    let file = root.join(path.trim_start_matches('/'));
    let digest = digest_of_script(&file, digests)?;
    let who = Who::of(event.tgid).map_err(|_| AttestationReason::Unreadable)?;
    let places = places(&root, Path::new(&path)).map_err(|_| AttestationReason::Unreadable)?;
    Ok(ScriptFacts {
        is_writable: is_writable(&who, &places),
        path,
        digest,
    })
}

/// Whose a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Who {
    users: Vec<u32>,
    groups: Vec<u32>,
}

impl Who {
    /// From `/proc/PID/status`, proc(5).
    fn of(tgid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{tgid}/status"))?;
        let numbers = |field: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let words = line.into_iter().flat_map(str::split_ascii_whitespace);
            words.filter_map(|word| word.parse().ok()).collect()
        };
        let mut groups = numbers("Gid:");
        groups.extend(numbers("Groups:"));
        Ok(Self {
            users: numbers("Uid:"),
            groups,
        })
    }
}

/// A file or folder on the way to a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    owner: u32,
    group: u32,
    mode: u32,
    has_acl: bool,
    is_link: bool,
}

/// The script, then each folder above it, without following links.
fn places(root: &Path, path: &Path) -> io::Result<Vec<Place>> {
    let place = |path: &Path| {
        let path = root.join(path.strip_prefix("/").unwrap_or(path));
        let found = fs::symlink_metadata(&path)?;
        Ok(Place {
            owner: found.uid(),
            group: found.gid(),
            mode: found.mode(),
            has_acl: has_acl(&path),
            is_link: found.file_type().is_symlink(),
        })
    };
    path.ancestors().map(place).collect()
}

fn has_acl(path: &Path) -> bool {
    const ACL: &str = "system.posix_acl_access";
    let mut nothing = [0_u8; 0];
    match rustix::fs::lgetxattr(path, ACL, &mut nothing[..]) {
        // Where there can be none, there is none.
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => false,
        Ok(_) | Err(_) => true,
    }
}

/// Whether one of `places`, the script first, is for `who` to change. Unsure means that it is.
fn is_writable(who: &Who, places: &[Place]) -> bool {
    const STICKY: u32 = 0o1000;
    if who.users.is_empty() || who.users.contains(&0) {
        return true;
    }
    let may_write = |place: &Place| {
        place.has_acl
            || place.mode & 0o002 != 0
            || (place.mode & 0o020 != 0 && who.groups.contains(&place.group))
    };
    places.iter().enumerate().any(|(at, place)| {
        let is_own = who.users.contains(&place.owner);
        // In a sticky folder only the owners of an entry and of the folder may replace it, unlink(2).
        let holds_for_others = at > 0
            && place.mode & STICKY != 0
            && !place.has_acl
            && !who.users.contains(&places[at - 1].owner);
        is_own || place.is_link || (may_write(place) && !holds_for_others)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(evidence: u32, name: &str) -> ExecEvent {
        let mut event = ExecEvent {
            evidence,
            ..ExecEvent::ZERO
        };
        event.name[..name.len()].copy_from_slice(name.as_bytes());
        event
    }

    #[test]
    fn a_script_is_named_by_its_own_first_line_or_by_the_first_argument() {
        let by_line = event(evidence::SCRIPT, "/app/agent.py");
        assert_eq!(path_of(&by_line, b"").unwrap(), "/app/agent.py");
        let named = event(0, "/usr/bin/python3");
        let path = path_of(&named, b"python3\0/app/agent.py\0--fast\0");
        assert_eq!(path.unwrap(), "/app/agent.py");
    }

    #[test]
    fn options_relative_names_and_what_was_not_read_name_no_script() {
        use AttestationReason::{ArgumentsUnread, ScriptMismatch};
        let named = event(0, "/usr/bin/python3");
        for arguments in [
            &b"python3\0-c\0print()\0/app/agent.py\0"[..],
            b"python3\0agent.py\0",
            b"python3\0",
            b"python3\0/app/\xff\0",
            b"",
        ] {
            assert_eq!(path_of(&named, arguments), Err(ScriptMismatch));
        }
        let relative = event(evidence::SCRIPT, "./agent.py");
        assert_eq!(path_of(&relative, b""), Err(ScriptMismatch));
        let cut = event(evidence::ARGUMENTS_UNREAD, "/usr/bin/python3");
        assert_eq!(path_of(&cut, b"python3\0/app/ag"), Err(ArgumentsUnread));
        let long = path_of(&cut, b"python3\0/app/agent.py\0and a long pro");
        assert_eq!(
            long.unwrap(),
            "/app/agent.py",
            "what comes behind is a prompt"
        );
    }

    const ROOTS: Place = Place {
        owner: 0,
        group: 0,
        mode: 0o755,
        has_acl: false,
        is_link: false,
    };

    fn nobody() -> Who {
        Who {
            users: vec![1000; 4],
            groups: vec![1000, 50],
        }
    }

    #[test]
    fn what_only_others_can_change_is_kept() {
        let of_staff = Place {
            group: 7,
            mode: 0o2775,
            ..ROOTS
        };
        let sticky = Place {
            mode: 0o1777,
            ..ROOTS
        };
        assert!(!is_writable(&nobody(), &[ROOTS, of_staff, sticky, ROOTS]));
    }

    #[test]
    fn what_a_process_of_the_scope_could_change_counts_for_nothing() {
        let own = Place {
            owner: 1000,
            ..ROOTS
        };
        let open = Place {
            mode: 0o777,
            ..ROOTS
        };
        let of_group = Place {
            group: 50,
            mode: 0o775,
            ..ROOTS
        };
        let acl = Place {
            has_acl: true,
            ..ROOTS
        };
        let link = Place {
            is_link: true,
            ..ROOTS
        };
        for bad in [own, open, of_group, acl, link] {
            assert!(is_writable(&nobody(), &[bad, ROOTS]), "the script: {bad:?}");
            assert!(
                is_writable(&nobody(), &[ROOTS, bad, ROOTS]),
                "a folder: {bad:?}"
            );
        }
        let sticky = Place {
            mode: 0o1777,
            ..ROOTS
        };
        assert!(is_writable(&nobody(), &[own, sticky, ROOTS]));
        assert!(is_writable(&nobody(), &[sticky, ROOTS]), "a sticky file");
        let root = Who {
            users: vec![0; 4],
            groups: vec![0],
        };
        assert!(is_writable(&root, &[ROOTS]));
    }
}
