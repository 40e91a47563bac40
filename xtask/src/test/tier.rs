//! The tiers of tests, and which test program belongs to which.

use crate::artifacts::TestProgram;

/// A group of tests with the same needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Unit,
    Fuzz,
    Kernel,
    EndToEnd,
    Demo,
    Cluster,
}

impl Tier {
    /// In the order they run: the cheapest that can fail goes first.
    pub(crate) const ALL: &[Self] = &[
        Self::Unit,
        Self::Fuzz,
        Self::Kernel,
        Self::EndToEnd,
        Self::Demo,
        Self::Cluster,
    ];

    /// Tests that need nothing are all those that are not of another tier.
    pub(crate) fn of(test: &TestProgram) -> Self {
        match (test.package.as_str(), test.kind.as_str()) {
            ("lanyard-node-agent", "test") if test.name == "kernel" => Self::Kernel,
            ("lanyard-e2e", "test") if test.name.starts_with("cluster_") => Self::Cluster,
            ("lanyard-e2e", "test") => Self::EndToEnd,
            _ => Self::Unit,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Fuzz => "fuzz",
            Self::Kernel => "kernel",
            Self::EndToEnd => "e2e",
            Self::Demo => "demo",
            Self::Cluster => "cluster",
        }
    }

    pub(crate) fn proves(self) -> &'static str {
        match self {
            Self::Unit => "the rules, the parsers, generated files current; needs nothing",
            Self::Fuzz => "what holds for whatever is sent, tried at random; needs nothing",
            Self::Kernel => "the kernel programs on this kernel; needs root, BPF and cgroup v2",
            Self::EndToEnd => {
                "the promises of the README, with real programs; needs what kernel needs"
            }
            Self::Cluster => {
                "the same on a real Kubernetes, which is built first; needs Go and containerd too"
            }
            Self::Demo => "the story of the README, scene by scene; needs what kernel needs",
        }
    }

    /// Whether its tests load kernel programs.
    pub(crate) fn needs_kernel(self) -> bool {
        match self {
            Self::Unit | Self::Fuzz => false,
            Self::Kernel | Self::EndToEnd | Self::Demo | Self::Cluster => true,
        }
    }

    /// How many tests of one program may run at once; None leaves it to the harness. Those that
    /// share the kernel's hooks run one by one.
    pub(crate) fn threads(self) -> Option<usize> {
        self.needs_kernel().then_some(1)
    }

    /// Whether each test is worth a line as it ends: there are few, and each takes a while.
    pub(crate) fn shows_each_test(self) -> bool {
        self.needs_kernel()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(package: &str, kind: &str, name: &str) -> TestProgram {
        TestProgram {
            package: package.into(),
            kind: kind.into(),
            name: name.into(),
            executable: "/t".into(),
            folder: "/w".into(),
        }
    }

    #[test]
    fn a_test_belongs_to_the_tier_that_has_what_it_needs() {
        assert_eq!(
            Tier::of(&program("lanyard-node-agent", "test", "kernel")),
            Tier::Kernel
        );
        assert_eq!(
            Tier::of(&program("lanyard-node-agent", "bin", "lanyard-node-agent")),
            Tier::Unit
        );
        assert_eq!(
            Tier::of(&program("lanyard-e2e", "test", "promise_03")),
            Tier::EndToEnd
        );
        assert_eq!(
            Tier::of(&program("lanyard-e2e", "test", "cluster_stands")),
            Tier::Cluster
        );
        assert_eq!(
            Tier::of(&program("lanyard-e2e", "lib", "lanyard_e2e")),
            Tier::Unit
        );
        assert_eq!(
            Tier::of(&program("lanyard-crds", "test", "kernel")),
            Tier::Unit
        );
    }

    #[test]
    fn tests_that_share_the_kernel_run_one_by_one() {
        assert_eq!(Tier::Kernel.threads(), Some(1));
        assert_eq!(Tier::EndToEnd.threads(), Some(1));
        assert_eq!(Tier::Unit.threads(), None);
    }
}
