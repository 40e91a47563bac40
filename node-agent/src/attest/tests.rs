use super::*;

const GOOD: Sha256Digest = Sha256Digest::new([1; 32]);
const OTHER: Sha256Digest = Sha256Digest::new([2; 32]);
const SCRIPT: Sha256Digest = Sha256Digest::new([3; 32]);

const OUTSIDE: Origin = Origin {
    level: None,
    children: ChildrenRule::None,
};

fn from(level: EvidenceLevel, children: ChildrenRule) -> Origin {
    Origin {
        level: Some(level),
        children,
    }
}

fn event(flags: u32) -> ExecEvent {
    ExecEvent {
        flags,
        links: 1,
        ..ExecEvent::ZERO
    }
}

fn rooted() -> ExecEvent {
    event(flags::ROOTED)
}

fn selector(name: &str, children: ChildrenRule) -> ProcessSelector {
    ProcessSelector {
        name: name.parse().unwrap(),
        path: "/usr/bin/curl".parse().unwrap(),
        sha256: GOOD,
        script: None,
        children,
    }
}

fn with_script() -> ProcessSelector {
    ProcessSelector {
        script: Some(lanyard_access::process::ScriptSelector {
            path: "/app/agent.py".parse().unwrap(),
            sha256: SCRIPT,
        }),
        ..selector("script", ChildrenRule::None)
    }
}

fn rules(processes: Vec<ProcessSelector>) -> Rules {
    Rules {
        processes,
        enforcement: Enforcement::Enforce,
        process_access: ProcessAccess::None,
    }
}

fn listed() -> Rules {
    rules(vec![selector("curl", ChildrenRule::None)])
}

fn file(path: &str, content: Result<Sha256Digest, AttestationReason>) -> FileFacts {
    FileFacts {
        path: Some(path.to_owned()),
        content,
        script: Err(AttestationReason::ScriptMismatch),
    }
}

fn good() -> FileFacts {
    file("/usr/bin/curl", Ok(GOOD))
}

fn running(path: &str, digest: Sha256Digest, is_writable: bool) -> FileFacts {
    FileFacts {
        script: Ok(ScriptFacts {
            path: path.to_owned(),
            digest,
            is_writable,
        }),
        ..good()
    }
}

/// Level, and the reason why it is none or lower.
fn outcome(
    event: &ExecEvent,
    facts: &FileFacts,
    rules: &Rules,
    origin: Origin,
) -> (Option<EvidenceLevel>, Option<AttestationReason>) {
    let verdict = decide(event, facts, rules, origin);
    (verdict.level.ok(), verdict.reason())
}

#[test]
fn the_listed_file_is_the_agent() {
    assert_eq!(
        outcome(&rooted(), &good(), &listed(), OUTSIDE),
        (Some(EvidenceLevel::Image), None)
    );
}

#[test]
fn what_came_from_outside_or_is_watched_has_nothing() {
    use AttestationReason::{Entered, OtherFile, Traced};
    for (flags, reason) in [
        (0, Entered),
        (flags::ROOTED | flags::OTHER_FILE, OtherFile),
        (flags::ROOTED | flags::TRACED, Traced),
    ] {
        let inherited = from(EvidenceLevel::Image, ChildrenRule::Inherit);
        for origin in [OUTSIDE, inherited] {
            let told = outcome(&event(flags), &good(), &listed(), origin);
            assert_eq!(told, (None, Some(reason)));
        }
    }
}

#[test]
fn a_traced_process_that_may_be_keeps_the_lowest_level() {
    let debug = Rules {
        process_access: ProcessAccess::Debug,
        ..listed()
    };
    let traced = event(flags::ROOTED | flags::TRACED);
    assert_eq!(
        outcome(&traced, &good(), &debug, OUTSIDE),
        (Some(EvidenceLevel::Scope), Some(AttestationReason::Traced))
    );
}

#[test]
fn without_confinement_nothing_is_above_the_lowest_level_unless_it_is_only_observed() {
    let open = event(flags::ROOTED | flags::UNCONFINED);
    let origin = from(EvidenceLevel::Image, ChildrenRule::Inherit);
    assert_eq!(
        outcome(&open, &good(), &listed(), origin),
        (
            Some(EvidenceLevel::Scope),
            Some(AttestationReason::Unconfined)
        )
    );
    let observed = Rules {
        enforcement: Enforcement::Observe,
        ..listed()
    };
    assert_eq!(
        outcome(&open, &good(), &observed, origin),
        (Some(EvidenceLevel::Image), None)
    );
}

#[test]
fn anything_but_the_listed_file_is_some_process_of_the_scope_with_the_reason() {
    use AttestationReason as Reason;
    let deleted = ExecEvent {
        links: 0,
        ..rooted()
    };
    let gone = FileFacts::unseen(None, Reason::Unreadable);
    for (event, facts, reason) in [
        (rooted(), file("/usr/bin/wget", Ok(GOOD)), Reason::NotListed),
        (
            rooted(),
            file("/usr/bin/curl", Ok(OTHER)),
            Reason::DigestMismatch,
        ),
        (
            rooted(),
            file("/usr/bin/curl", Err(Reason::Changed)),
            Reason::Changed,
        ),
        (
            rooted(),
            file("/usr/bin/curl", Err(Reason::TooLarge)),
            Reason::TooLarge,
        ),
        (rooted(), gone, Reason::Unreadable),
        (deleted, good(), Reason::Unnamed),
    ] {
        assert_eq!(
            outcome(&event, &facts, &listed(), OUTSIDE),
            (Some(EvidenceLevel::Scope), Some(reason))
        );
    }
    let verdict = decide(
        &rooted(),
        &file("/usr/bin/curl", Ok(OTHER)),
        &listed(),
        OUTSIDE,
    );
    assert_eq!(verdict.listed, [GOOD]);
}

#[test]
fn an_identity_that_lists_nothing_has_processes_of_its_scope_alone() {
    assert_eq!(
        outcome(&rooted(), &good(), &rules(Vec::new()), OUTSIDE).0,
        Some(EvidenceLevel::Scope)
    );
}

#[test]
fn whatever_an_inheriting_image_executes_is_of_its_lineage_and_so_is_what_that_executes() {
    let unknown = file("/home/me/fresh", Err(AttestationReason::NotListed));
    let mut origin = from(EvidenceLevel::Image, ChildrenRule::Inherit);
    for _ in 0..3 {
        let verdict = decide(&rooted(), &unknown, &listed(), origin);
        assert_eq!(verdict.level, Ok(EvidenceLevel::Lineage));
        assert_eq!(verdict.reason(), None);
        origin = from(EvidenceLevel::Lineage, verdict.children);
    }
    for (level, children) in [
        (EvidenceLevel::Scope, ChildrenRule::Inherit),
        (EvidenceLevel::Image, ChildrenRule::Listed),
        (EvidenceLevel::Image, ChildrenRule::None),
    ] {
        let told = outcome(&rooted(), &unknown, &listed(), from(level, children));
        assert_eq!(
            told,
            (
                Some(EvidenceLevel::Scope),
                Some(AttestationReason::NotListed)
            )
        );
    }
}

#[test]
fn a_listed_tool_in_an_inheriting_tree_is_the_agent_and_the_tree_goes_on_below_it() {
    let origin = from(EvidenceLevel::Lineage, ChildrenRule::Inherit);
    let verdict = decide(&rooted(), &good(), &listed(), origin);
    assert_eq!(verdict.level, Ok(EvidenceLevel::Image));
    assert_eq!(verdict.children, ChildrenRule::Inherit);
}

#[test]
fn loader_variables_lower_a_listed_file_to_what_it_inherits() {
    let loaded = ExecEvent {
        loader: evidence::LOADER_PREFIX,
        ..rooted()
    };
    let unread = ExecEvent {
        evidence: evidence::LOADER_UNREAD,
        ..rooted()
    };
    for event in [loaded, unread] {
        for (origin, level) in [
            (OUTSIDE, EvidenceLevel::Scope),
            (
                from(EvidenceLevel::Image, ChildrenRule::None),
                EvidenceLevel::Scope,
            ),
            (
                from(EvidenceLevel::Image, ChildrenRule::Listed),
                EvidenceLevel::Lineage,
            ),
            (
                from(EvidenceLevel::Lineage, ChildrenRule::Inherit),
                EvidenceLevel::Lineage,
            ),
        ] {
            assert_eq!(
                outcome(&event, &good(), &listed(), origin),
                (Some(level), Some(AttestationReason::LoaderVariables))
            );
        }
    }
}

#[test]
fn an_interpreter_that_is_listed_for_a_script_is_the_agent_with_that_script_alone() {
    let rules = rules(vec![with_script()]);
    let kept = running("/app/agent.py", SCRIPT, false);
    assert_eq!(
        outcome(&rooted(), &kept, &rules, OUTSIDE),
        (Some(EvidenceLevel::Image), None)
    );
    for (facts, reason) in [
        (
            running("/app/agent.py", SCRIPT, true),
            AttestationReason::ScriptWritable,
        ),
        (
            running("/app/evil.py", SCRIPT, false),
            AttestationReason::ScriptMismatch,
        ),
        (
            running("/app/agent.py", OTHER, false),
            AttestationReason::ScriptMismatch,
        ),
        (good(), AttestationReason::ScriptMismatch),
    ] {
        assert_eq!(
            outcome(&rooted(), &facts, &rules, OUTSIDE),
            (Some(EvidenceLevel::Scope), Some(reason))
        );
    }
}

#[test]
fn an_interpreter_that_is_listed_without_a_script_is_the_agent_with_any() {
    let rules = rules(vec![with_script(), selector("any", ChildrenRule::None)]);
    let told = outcome(
        &rooted(),
        &running("/app/evil.py", OTHER, true),
        &rules,
        OUTSIDE,
    );
    assert_eq!(told, (Some(EvidenceLevel::Image), None));
}

#[test]
fn of_two_selectors_of_one_file_the_stricter_rule_holds() {
    let both = rules(vec![
        selector("wide", ChildrenRule::Inherit),
        selector("narrow", ChildrenRule::Listed),
    ]);
    let verdict = decide(&rooted(), &good(), &both, OUTSIDE);
    assert_eq!(verdict.children, ChildrenRule::Listed);
}

#[test]
fn what_the_kernel_knew_of_the_parent_is_read_from_its_bits() {
    let event = ExecEvent {
        evidence: u32::from(level::LINEAGE) << evidence::PARENT_LEVEL
            | u32::from(children::INHERIT) << evidence::PARENT_CHILDREN
            | evidence::SCRIPT,
        ..rooted()
    };
    assert_eq!(
        Origin::of(&event),
        from(EvidenceLevel::Lineage, ChildrenRule::Inherit)
    );
    assert_eq!(Origin::of(&rooted()), OUTSIDE);
}
