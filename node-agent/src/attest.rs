//! Which executed image is the agent, at which level, or why not. No I/O: [`mod@file`] gathers.

pub mod file;

use lanyard_access::{
    digest::Sha256Digest, evidence::EvidenceLevel, process::ProcessSelector,
    reason::AttestationReason,
};
use lanyard_node_agent_abi::{event::ExecEvent, process::flags};

/// What was found at the executed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// The path the kernel shows, if the process still lived.
    pub path: Option<String>,
    /// The digest, when it was taken: only candidates by path are hashed.
    pub content: Result<Sha256Digest, AttestationReason>,
}

/// The answer for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The level, or why there is none.
    pub level: Result<EvidenceLevel, AttestationReason>,
    /// The digests that are listed for that path, when the file has another.
    pub listed: Vec<Sha256Digest>,
}

/// What rules an image out before its file is looked at.
pub fn refused_by_lineage(event: &ExecEvent) -> Option<AttestationReason> {
    if event.flags & flags::OTHER_FILE != 0 {
        Some(AttestationReason::OtherFile)
    } else if event.flags & flags::ROOTED == 0 {
        Some(AttestationReason::Entered)
    } else if event.links == 0 {
        Some(AttestationReason::Unnamed)
    } else {
        None
    }
}

/// Whether a file at `path` could be one of `listed`, so that it is worth hashing.
pub fn is_candidate(path: &str, listed: &[ProcessSelector]) -> bool {
    listed.iter().any(|selector| selector.path.as_str() == path)
}

/// Decides one image of a scope whose identity lists `listed`.
pub fn decide(event: &ExecEvent, facts: &FileFacts, listed: &[ProcessSelector]) -> Verdict {
    let refused = |reason| Verdict {
        level: Err(reason),
        listed: Vec::new(),
    };
    if let Some(reason) = refused_by_lineage(event) {
        return refused(reason);
    }
    let Some(path) = facts.path.as_deref() else {
        return refused(AttestationReason::Unreadable);
    };
    let here: Vec<Sha256Digest> = listed
        .iter()
        .filter(|selector| selector.path.as_str() == path)
        .map(|selector| selector.sha256)
        .collect();
    if here.is_empty() {
        return refused(AttestationReason::NotListed);
    }
    match facts.content {
        Err(reason) => refused(reason),
        Ok(digest) if here.contains(&digest) => Verdict {
            level: Ok(EvidenceLevel::Image),
            listed: Vec::new(),
        },
        Ok(_) => Verdict {
            level: Err(AttestationReason::DigestMismatch),
            listed: here,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Sha256Digest = Sha256Digest::new([1; 32]);
    const OTHER: Sha256Digest = Sha256Digest::new([2; 32]);

    fn event(flags: u32, links: u32) -> ExecEvent {
        ExecEvent {
            flags,
            links,
            ..ExecEvent::ZERO
        }
    }

    fn listed() -> Vec<ProcessSelector> {
        let path = "/usr/bin/curl".parse().unwrap();
        vec![ProcessSelector {
            name: "curl".parse().unwrap(),
            path,
            sha256: GOOD,
        }]
    }

    fn file(path: &str, content: Result<Sha256Digest, AttestationReason>) -> FileFacts {
        FileFacts {
            path: Some(path.to_owned()),
            content,
        }
    }

    fn reason(event: &ExecEvent, facts: &FileFacts) -> AttestationReason {
        decide(event, facts, &listed()).level.unwrap_err()
    }

    #[test]
    fn anything_but_the_listed_file_in_the_scopes_own_lineage_is_refused() {
        let rooted = event(flags::ROOTED, 1);
        let good = file("/usr/bin/curl", Ok(GOOD));
        assert_eq!(reason(&event(0, 1), &good), AttestationReason::Entered);
        assert_eq!(
            reason(&event(flags::ROOTED | flags::OTHER_FILE, 1), &good),
            AttestationReason::OtherFile
        );
        assert_eq!(
            reason(&event(flags::ROOTED, 0), &good),
            AttestationReason::Unnamed
        );
        assert_eq!(
            reason(&rooted, &file("/usr/bin/wget", Ok(GOOD))),
            AttestationReason::NotListed
        );
        assert_eq!(
            reason(&rooted, &file("/usr/bin/curl", Ok(OTHER))),
            AttestationReason::DigestMismatch
        );
        let unreadable = file("/usr/bin/curl", Err(AttestationReason::Changed));
        assert_eq!(reason(&rooted, &unreadable), AttestationReason::Changed);
        let gone = FileFacts {
            path: None,
            content: Err(AttestationReason::Unreadable),
        };
        assert_eq!(reason(&rooted, &gone), AttestationReason::Unreadable);
    }

    #[test]
    fn the_listed_file_is_the_agent() {
        let verdict = decide(
            &event(flags::ROOTED, 1),
            &file("/usr/bin/curl", Ok(GOOD)),
            &listed(),
        );
        assert_eq!(verdict.level, Ok(EvidenceLevel::Image));
    }

    #[test]
    fn an_identity_that_lists_nothing_has_no_agent() {
        let verdict = decide(
            &event(flags::ROOTED, 1),
            &file("/usr/bin/curl", Ok(GOOD)),
            &[],
        );
        assert_eq!(verdict.level, Err(AttestationReason::NotListed));
    }

    #[test]
    fn a_mismatch_names_what_is_listed() {
        let verdict = decide(
            &event(flags::ROOTED, 1),
            &file("/usr/bin/curl", Ok(OTHER)),
            &listed(),
        );
        assert_eq!(verdict.listed, [GOOD]);
    }
}
