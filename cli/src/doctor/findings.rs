//! From what is known of a machine to what it means: which tier it offers, what stays open, what to do.

mod offered;
mod open;

use serde::Serialize;

use super::facts::Facts;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Good,
    /// Nothing is enforced without it.
    Missing,
    /// It works, and less is closed than could be.
    Degraded,
    /// An attack that this tier does not close.
    Open,
    /// An attack that this tier closes.
    Closed,
    /// Nobody knows; root may.
    Unknown,
}

/// One line of what a doctor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) about: &'static str,
    pub(super) state: State,
    pub(super) says: String,
    /// What to do about it; empty when nothing is.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) remedy: &'static str,
}

impl Finding {
    fn new(about: &'static str, state: State, says: impl Into<String>) -> Self {
        Self {
            about,
            state,
            says: says.into(),
            remedy: "",
        }
    }

    fn todo(mut self, remedy: &'static str) -> Self {
        self.remedy = remedy;
        self
    }
}

/// All of it.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = offered::findings(facts);
    all.extend(open::findings(facts));
    all
}

/// The tier of a kernel.
pub(super) fn tier(facts: &Facts) -> &'static str {
    if findings(facts)
        .iter()
        .any(|finding| finding.state == State::Missing)
    {
        "none"
    } else if facts.kernel.has_unix_hooks {
        "core, unix"
    } else {
        "core"
    }
}

#[cfg(test)]
pub(super) mod sample {
    use super::super::facts::{Facts, Kernel, Limits};

    /// A machine on which all is well.
    pub(crate) fn machine() -> Facts {
        Facts {
            kernel: Kernel {
                release: "6.18.5".into(),
                architecture: "x86_64".into(),
                has_types: true,
                lacking: Vec::new(),
                has_unix_hooks: true,
                has_seccomp: true,
                landlock: 7,
                cgroup2: Some("/sys/fs/cgroup".into()),
                has_bpf_filesystem: true,
                destroys_sockets: Some(true),
                lockdown: Some("none".into()),
                ptrace_scope: Some(1),
            },
            limits: Limits {
                locked_memory: Some(8 << 20),
                swap_is_on: false,
                wall_clock: 1_795_000_000,
                clock_is_kept: true,
            },
            is_root: true,
            ..Facts::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::facts::Kernel, *};

    fn states(facts: &Facts, about: &str) -> Vec<State> {
        let all = findings(facts);
        let of_it = all.iter().filter(|finding| finding.about == about);
        of_it.map(|finding| finding.state).collect()
    }

    fn with(change: impl FnOnce(&mut Kernel)) -> Facts {
        let mut facts = sample::machine();
        change(&mut facts.kernel);
        facts
    }

    #[test]
    fn a_good_machine_lacks_nothing() {
        let facts = sample::machine();
        let all = findings(&facts);
        assert!(all.iter().all(|finding| finding.state != State::Missing));
        assert_eq!(tier(&facts), "core, unix");
        assert_eq!(tier(&with(|kernel| kernel.has_unix_hooks = false)), "core");
    }

    #[test]
    fn what_nothing_is_enforced_without_is_missing_and_says_what_to_do() {
        let changes: [fn(&mut Kernel); 6] = [
            |kernel| kernel.has_types = false,
            |kernel| kernel.lacking = vec!["BPF_CGROUP_SOCK_OPS"],
            |kernel| kernel.cgroup2 = None,
            |kernel| kernel.has_bpf_filesystem = false,
            |kernel| kernel.has_seccomp = false,
            |kernel| kernel.lockdown = Some("confidentiality".into()),
        ];
        for (place, change) in changes.into_iter().enumerate() {
            let facts = with(change);
            let missing: Vec<_> = findings(&facts)
                .into_iter()
                .filter(|finding| finding.state == State::Missing)
                .collect();
            assert_eq!(missing.len(), 1, "change {place}: {missing:?}");
            assert!(!missing[0].remedy.is_empty(), "{missing:?}");
            assert_eq!(tier(&facts), "none");
        }
    }

    #[test]
    fn an_old_landlock_names_each_thing_it_leaves_open() {
        assert_eq!(states(&sample::machine(), "Landlock")[0], State::Good);
        let old = with(|kernel| kernel.landlock = 2);
        let all = findings(&old);
        let lines = all.iter().filter(|finding| finding.about == "Landlock");
        let text: Vec<_> = lines.map(|finding| finding.says.as_str()).collect();
        assert!(text.join("\n").contains("truncate"), "{text:?}");
        let none = with(|kernel| kernel.landlock = 0);
        assert!(states(&none, "Landlock").contains(&State::Degraded));
    }

    #[test]
    fn only_root_knows_whether_sockets_can_be_destroyed() {
        for (known, state) in [
            (Some(true), State::Good),
            (Some(false), State::Degraded),
            (None, State::Unknown),
        ] {
            let facts = with(|kernel| kernel.destroys_sockets = known);
            assert_eq!(states(&facts, "sockets destroyed"), [state]);
        }
    }
}
