//! `lanyard man`: the manual pages, one for each verb, as packages install them.

use std::{fs, io, path::Path};

use clap::{Command, CommandFactory as _};
use thiserror::Error;

use crate::args::{Cli, ManArgs};

/// Why a page is not there.
#[derive(Debug, Error)]
#[error("the manual page {page} cannot be written: {source}")]
pub(crate) struct ManError {
    page: String,
    source: io::Error,
}

/// Writes every page into the folder.
pub(crate) fn write(args: &ManArgs) -> Result<(), ManError> {
    let mut command = Cli::command();
    // It gives each verb its full name: `lanyard-audit-tail`.
    command.build();
    write_all(&command, &args.folder)
}

/// The page of a command, then those of its verbs; not of those that are not meant to be typed.
fn write_all(command: &Command, folder: &Path) -> Result<(), ManError> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let page = format!("{name}.1");
    let mut text = Vec::new();
    let written = clap_mangen::Man::new(command.clone())
        .render(&mut text)
        .and_then(|()| fs::write(folder.join(&page), &text));
    written.map_err(|source| ManError { page, source })?;
    let verbs = command.get_subcommands();
    verbs
        .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
        .try_for_each(|verb| write_all(verb, folder))
}
