//! Which executed image is the agent, at which level, or why not. No I/O: [`mod@file`] and [`mod@script`] gather.

pub mod file;
pub mod script;

use lanyard_access::{
    desired::DesiredAgent,
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    identity::{Enforcement, ProcessAccess},
    process::{ChildrenRule, ProcessSelector},
    reason::AttestationReason,
};
use lanyard_node_agent_abi::{
    event::{ExecEvent, evidence},
    process::{children, flags, level},
};

use self::script::ScriptFacts;

/// What was found at the executed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// The path the kernel shows, if the process still lived.
    pub path: Option<String>,
    /// The digest, when it was taken: only candidates by path are hashed.
    pub content: Result<Sha256Digest, AttestationReason>,
    /// The script that an interpreter runs, when one is listed for it.
    pub script: Result<ScriptFacts, AttestationReason>,
}

impl FileFacts {
    /// Those of a file that was not looked into.
    pub const fn unseen(path: Option<String>, reason: AttestationReason) -> Self {
        Self {
            path,
            content: Err(reason),
            script: Err(AttestationReason::ScriptMismatch),
        }
    }
}

/// What the image was that an execution came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Its level, if it had an identity.
    pub level: Option<EvidenceLevel>,
    /// What its executions inherit.
    pub children: ChildrenRule,
}

impl Origin {
    /// What the kernel knew of it at the execution.
    pub fn of(event: &ExecEvent) -> Self {
        let part = |shift: u32| u8::try_from(event.evidence >> shift & 3).unwrap_or(0);
        Self {
            level: level_of(part(evidence::PARENT_LEVEL)),
            children: rule_of(part(evidence::PARENT_CHILDREN)),
        }
    }

    fn is_attested(self) -> bool {
        self.level
            .is_some_and(|level| level >= EvidenceLevel::Lineage)
    }

    /// Whether whatever it executes inherits its lineage.
    fn is_inherited(self) -> bool {
        self.is_attested() && self.children == ChildrenRule::Inherit
    }

    /// Whether what is listed inherits it.
    fn is_inherited_by_listed(self) -> bool {
        self.is_attested() && self.children != ChildrenRule::None
    }
}

/// What an agent's identity says of its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The files that are listed.
    pub processes: Vec<ProcessSelector>,
    /// Whether what is not granted is refused.
    pub enforcement: Enforcement,
    /// Whether a traced process keeps anything.
    pub process_access: ProcessAccess,
}

impl Rules {
    /// Those of an agent; of one that is not written any more, nothing is listed.
    pub fn of(agent: Option<&DesiredAgent>) -> Self {
        let nothing = Self {
            processes: Vec::new(),
            enforcement: Enforcement::Enforce,
            process_access: ProcessAccess::None,
        };
        agent.map_or(nothing, |agent| Self {
            processes: agent.processes.clone(),
            enforcement: agent.enforcement,
            process_access: agent.process_access,
        })
    }
}

/// The answer for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The level, or why there is none.
    pub level: Result<EvidenceLevel, AttestationReason>,
    /// Why the level is lower than one would expect.
    pub lower: Option<AttestationReason>,
    /// What its own executions inherit.
    pub children: ChildrenRule,
    /// The digests that are listed for that path, when the file has another.
    pub listed: Vec<Sha256Digest>,
}

impl Verdict {
    /// Why it has no level, or a lower one than one would expect.
    pub fn reason(&self) -> Option<AttestationReason> {
        self.level.err().or(self.lower)
    }

    /// That of an image that ended before it was looked at.
    pub const fn gone() -> Self {
        Self::none(AttestationReason::NotObserved)
    }

    const fn none(reason: AttestationReason) -> Self {
        Self {
            level: Err(reason),
            lower: None,
            children: ChildrenRule::None,
            listed: Vec::new(),
        }
    }

    const fn at(level: EvidenceLevel, children: ChildrenRule) -> Self {
        Self {
            level: Ok(level),
            lower: None,
            children,
            listed: Vec::new(),
        }
    }

    fn because(self, reason: AttestationReason) -> Self {
        Self {
            lower: Some(reason),
            ..self
        }
    }
}

/// What rules an image out, whatever its file is.
pub fn refused_by_lineage(event: &ExecEvent, access: ProcessAccess) -> Option<AttestationReason> {
    let has = |mark: u32| event.flags & mark != 0;
    if has(flags::OTHER_FILE) {
        Some(AttestationReason::OtherFile)
    } else if !has(flags::ROOTED) {
        Some(AttestationReason::Entered)
    } else if has(flags::TRACED) && access == ProcessAccess::None {
        Some(AttestationReason::Traced)
    } else {
        None
    }
}

/// The selectors of a file at `path`: such a file is worth hashing.
pub fn candidates<'a>(
    path: &'a str,
    listed: &'a [ProcessSelector],
) -> impl Iterator<Item = &'a ProcessSelector> {
    listed
        .iter()
        .filter(move |selector| selector.path.as_str() == path)
}

/// Decides one image of a scope.
pub fn decide(event: &ExecEvent, facts: &FileFacts, rules: &Rules, origin: Origin) -> Verdict {
    if let Some(reason) = refused_by_lineage(event, rules.process_access) {
        return Verdict::none(reason);
    }
    let scope = Verdict::at(EvidenceLevel::Scope, ChildrenRule::None);
    if event.flags & flags::TRACED != 0 {
        return scope.because(AttestationReason::Traced);
    }
    let is_confined =
        event.flags & flags::UNCONFINED == 0 || rules.enforcement == Enforcement::Observe;
    if !is_confined {
        return scope.because(AttestationReason::Unconfined);
    }
    match identify(event, facts, rules) {
        Identified::As(selector) => image(event, facts, selector, origin),
        Identified::Not { reason, listed } if origin.is_inherited() => {
            let inherited = Verdict::at(EvidenceLevel::Lineage, ChildrenRule::Inherit);
            // That it is not listed is what the rule is for.
            let lower = (reason != AttestationReason::NotListed).then_some(reason);
            Verdict {
                lower,
                listed,
                ..inherited
            }
        }
        Identified::Not { reason, listed } => Verdict {
            listed,
            ..scope.because(reason)
        },
    }
}

/// A listed file: `Image`, unless something else than the file decides what it does.
fn image(
    event: &ExecEvent,
    facts: &FileFacts,
    selector: &ProcessSelector,
    origin: Origin,
) -> Verdict {
    // A tree that inherits goes on, also below a tool that is listed for itself.
    let children = if origin.is_inherited() {
        ChildrenRule::Inherit
    } else {
        selector.children
    };
    let is_clean = event.loader == 0 && event.evidence & evidence::LOADER_UNREAD == 0;
    let is_kept = selector.script.is_none()
        || facts
            .script
            .as_ref()
            .is_ok_and(|script| !script.is_writable);
    let reason = if !is_clean {
        AttestationReason::LoaderVariables
    } else if !is_kept {
        AttestationReason::ScriptWritable
    } else {
        return Verdict::at(EvidenceLevel::Image, children);
    };
    let lower = if origin.is_inherited_by_listed() {
        Verdict::at(EvidenceLevel::Lineage, children)
    } else {
        Verdict::at(EvidenceLevel::Scope, ChildrenRule::None)
    };
    lower.because(reason)
}

enum Identified<'a> {
    As(&'a ProcessSelector),
    Not {
        reason: AttestationReason,
        listed: Vec<Sha256Digest>,
    },
}

/// The selector of the file that was executed. Of several the one for its script goes first, then the one
/// that lets the least be inherited.
fn identify<'a>(event: &ExecEvent, facts: &FileFacts, rules: &'a Rules) -> Identified<'a> {
    let not = |reason| Identified::Not {
        reason,
        listed: Vec::new(),
    };
    if event.links == 0 {
        return not(AttestationReason::Unnamed);
    }
    let Some(path) = facts.path.as_deref() else {
        return not(AttestationReason::Unreadable);
    };
    let here: Vec<&ProcessSelector> = rules
        .processes
        .iter()
        .filter(|selector| selector.path.as_str() == path)
        .collect();
    if here.is_empty() {
        return not(AttestationReason::NotListed);
    }
    let digest = match facts.content {
        Ok(digest) => digest,
        Err(reason) => return not(reason),
    };
    let same = |selector: &&&ProcessSelector| selector.sha256 == digest;
    let here_and_same: Vec<&ProcessSelector> = here.iter().filter(same).copied().collect();
    if here_and_same.is_empty() {
        return Identified::Not {
            reason: AttestationReason::DigestMismatch,
            listed: here.iter().map(|selector| selector.sha256).collect(),
        };
    }
    let strictest = |with_script: bool| {
        let of_kind = here_and_same
            .iter()
            .filter(|selector| selector.script.is_some() == with_script);
        let fitting = of_kind.filter(|selector| runs_its_script(selector, facts));
        fitting.min_by_key(|selector| selector.children).copied()
    };
    match strictest(true).or_else(|| strictest(false)) {
        Some(selector) => Identified::As(selector),
        None => not(facts
            .script
            .as_ref()
            .err()
            .copied()
            .unwrap_or(AttestationReason::ScriptMismatch)),
    }
}

fn runs_its_script(selector: &ProcessSelector, facts: &FileFacts) -> bool {
    let Some(wanted) = &selector.script else {
        return true;
    };
    facts
        .script
        .as_ref()
        .is_ok_and(|script| script.path == wanted.path.as_str() && script.digest == wanted.sha256)
}

/// A level of the kernel.
pub const fn level_of(number: u8) -> Option<EvidenceLevel> {
    match number {
        level::SCOPE => Some(EvidenceLevel::Scope),
        level::LINEAGE => Some(EvidenceLevel::Lineage),
        level::IMAGE => Some(EvidenceLevel::Image),
        _ => None,
    }
}

/// A rule of the kernel.
pub const fn rule_of(number: u8) -> ChildrenRule {
    match number {
        children::LISTED => ChildrenRule::Listed,
        children::INHERIT => ChildrenRule::Inherit,
        _ => ChildrenRule::None,
    }
}

/// A rule as the kernel numbers it.
pub const fn number_of_rule(rule: ChildrenRule) -> u8 {
    match rule {
        ChildrenRule::None => children::NONE,
        ChildrenRule::Listed => children::LISTED,
        ChildrenRule::Inherit => children::INHERIT,
    }
}

#[cfg(test)]
mod tests;
