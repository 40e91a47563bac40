//! `cargo xtask lint`: form and structure, one line a check, all failures shown.

mod arrows;
mod cargo_checks;
mod file_length;
mod module_tree;
mod msrv;
mod source;
mod unsafe_code;

use std::process::ExitCode;

use crate::console::{Step, quote, say};
use crate::context::Context;
use crate::counts::Counts;
use crate::kernel_object;
use crate::metadata::Workspace;
use crate::setup::{self, Need};

use source::Sources;

/// What a check found. An error while checking is a failed check too: it has checked nothing.
pub(crate) enum Verdict {
    Passed { note: String },
    Failed { report: String },
}

/// What checks look at.
pub(crate) struct Subject<'a> {
    pub(crate) context: &'a Context,
    pub(crate) workspace: Workspace,
    pub(crate) sources: Sources,
}

type Check = fn(&Subject<'_>) -> anyhow::Result<Verdict>;

/// In the order of how soon they answer.
const CHECKS: &[(&str, Check)] = &[
    ("formatting", cargo_checks::format),
    ("import arrows", arrows::check),
    ("every source file is part of a crate", module_tree::check),
    ("unsafe code only where it may be", unsafe_code::check),
    (
        "the stated compiler version is one we build with",
        msrv::check,
    ),
    ("licences, sources and banned crates", cargo_checks::deny),
    ("the kernel programs build", cargo_checks::kernel_programs),
    ("clippy", cargo_checks::clippy),
    (
        "clippy without default features",
        cargo_checks::clippy_without_default_features,
    ),
    (
        "clippy of the kernel programs",
        cargo_checks::clippy_kernel_programs,
    ),
    ("documentation", cargo_checks::documentation),
];

/// `cargo xtask lint`.
pub(crate) fn run(context: &Context) -> ExitCode {
    Counts::or_failed(run_checks(context)).close()
}

fn run_checks(context: &Context) -> anyhow::Result<Counts> {
    setup::ready(context, &[Need::Build, Need::KernelPrograms, Need::Lint])?;
    let subject = Subject {
        context,
        workspace: Workspace::read(context)?,
        sources: Sources::read(&context.root)?,
    };
    let mut counts = Counts::default();
    let mut failed = Vec::new();
    for (title, check) in CHECKS {
        let step = Step::start(*title);
        match check(&subject).unwrap_or_else(|error| Verdict::Failed {
            report: format!("{error:#}"),
        }) {
            Verdict::Passed { note } => {
                step.passed(&note);
                counts += Counts::passed(1);
            }
            Verdict::Failed { report } => {
                step.failed("");
                quote(&report);
                failed.push(*title);
                counts += Counts::failed(1);
            }
        }
    }
    for note in file_length::notes(&subject.sources) {
        say(&note);
    }
    if !failed.is_empty() {
        say(&format!("failed: {}", failed.join(", ")));
    }
    Ok(counts)
}

impl Verdict {
    pub(crate) fn passed() -> Self {
        Self::Passed {
            note: String::new(),
        }
    }

    /// Passed when there is nothing to complain about.
    pub(crate) fn of(complaints: &[String]) -> Self {
        if complaints.is_empty() {
            Self::passed()
        } else {
            Self::Failed {
                report: complaints.join("\n"),
            }
        }
    }
}

impl Subject<'_> {
    /// The node agent's build script looks at this variable; one value for all checks spares
    /// building it again between them.
    pub(crate) fn object_if_built(&self) -> Option<(&'static str, std::path::PathBuf)> {
        Some((kernel_object::VARIABLE, kernel_object::path(self.context)))
            .filter(|(_, path)| path.is_file())
    }
}
