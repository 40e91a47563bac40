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

use figures::Table;
use machine::Machine;

const PAGE: &str = "docs/benchmarks.md";

/// `cargo xtask bench`.
pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    setup::ready(context, &[Need::Build, Need::KernelPrograms, Need::Run])?;
    let object = kernel_object::build(context)?;
    let step = Step::loud("building the programs for release");
    aloud(
        context
            .cargo(&["build", "--release", "--bins"])
            .env(kernel_object::VARIABLE, &object),
    )?;
    step.passed("");

    let mut tables = Vec::new();
    for package in Workspace::read(context)?.default_members() {
        for target in package.targets.iter().filter(|target| target.is("bench")) {
            let mut command =
                context.cargo(&["bench", "--package", &package.name, "--bench", &target.name]);
            command
                .env(kernel_object::VARIABLE, &object)
                .env("LANYARD_BIN_DIR", context.target().join("release"));
            let step = Step::start(typed(&command));
            let printed = stdout_of(&mut command)?;
            let table = Table::read(&typed(&command), &printed);
            if table.is_empty() {
                bail!(
                    "{} printed no row `name | runs | median | p99`:\n{printed}",
                    typed(&command)
                );
            }
            step.passed("");
            quote(&table.to_string());
            tables.push(table);
        }
    }
    if tables.is_empty() {
        bail!("no crate has a bench");
    }
    write_page(context, &tables)
}

fn write_page(context: &Context, tables: &[Table]) -> anyhow::Result<()> {
    let path = context.root.join(PAGE);
    let page = fs::read_to_string(&path).ok();
    let page = figures::renew(
        page.as_deref(),
        &figures::section(&Machine::inspect()?, tables),
    )?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(&path, page).with_context(|| format!("write {PAGE}"))?;
    Step::loud(format!("writing {PAGE}")).passed("");
    Ok(())
}
