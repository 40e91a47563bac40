//! `cargo xtask bench`: runs the benches one after the other and keeps their figures in
//! docs/benchmarks.md.

mod figures;
mod machine;

use std::fs;

use anyhow::{Context as _, bail};

use crate::command::{aloud, stdout_of, typed};
use crate::console::{Step, quote};
use crate::context::Context;
use crate::kernel_object;
use crate::metadata::Workspace;
use crate::setup::{self, Need};

use figures::Figures;
use machine::Machine;

/// The bench that measures other programs beside ours.
const BESIDE_PEERS: &str = "broker";

const PAGE: &str = "docs/benchmarks.md";

/// `cargo xtask bench [NAME]...`.
pub(crate) fn run(context: &Context, names: &[String]) -> anyhow::Result<()> {
    let mut needs = vec![Need::Build, Need::KernelPrograms, Need::Run];
    if is_meant(BESIDE_PEERS, names) {
        needs.push(Need::Compare);
    }
    setup::ready(context, &needs)?;
    let object = kernel_object::build(context)?;
    let step = Step::loud("building the programs for release");
    aloud(
        context
            .cargo(&["build", "--release", "--bins"])
            .env(kernel_object::VARIABLE, &object),
    )?;
    step.passed("");

    let mut count = 0;
    for package in Workspace::read(context)?.default_members() {
        let benches = package.targets.iter().filter(|target| target.is("bench"));
        for target in benches.filter(|target| is_meant(&target.name, names)) {
            let mut command =
                context.cargo(&["bench", "--package", &package.name, "--bench", &target.name]);
            command
                .env(kernel_object::VARIABLE, &object)
                .env("LANYARD_BIN_DIR", context.target().join("release"));
            let step = Step::start(typed(&command));
            let printed = stdout_of(&mut command)?;
            let figures = Figures::read(&target.name, &typed(&command), &printed);
            if figures.is_empty() {
                bail!(
                    "{} printed no table that begins with `name | `:\n{printed}",
                    typed(&command)
                );
            }
            step.passed("");
            quote(&figures.to_string());
            // At once: the next one may fail.
            write_page(context, &figures)?;
            count += 1;
        }
    }
    if count == 0 {
        bail!("no crate has a bench whose name begins with {names:?}");
    }
    Ok(())
}

fn is_meant(bench: &str, names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| bench.starts_with(name.as_str()))
}

fn write_page(context: &Context, figures: &Figures) -> anyhow::Result<()> {
    let path = context.root.join(PAGE);
    let page = fs::read_to_string(&path).ok();
    let page = figures::renew(page.as_deref(), figures, &Machine::inspect()?)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(&path, page).with_context(|| format!("write {PAGE}"))?;
    Step::loud(format!("writing {PAGE}")).passed("");
    Ok(())
}
