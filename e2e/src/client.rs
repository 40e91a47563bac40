//! A client that prints what it received, says `done`, and stays with all of it until its standard input ends, so that
//! it can be searched.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{forms::Forms, memory};

/// What it said.
#[derive(Debug)]
pub struct Said {
    /// On standard output, before `done`.
    pub printed: String,
    /// On standard error.
    pub errors: String,
}

/// Runs one that must not have `secret`: not in its memory, environment, arguments, what it prints, or a file in
/// `folder`. `held` is something that it does have, for a search that finds nothing proves nothing.
pub fn run_without(command: &mut Command, secret: &str, held: &str, folder: &Path) -> Result<Said> {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start a client")?;
    let out = process.stdout.take().context("it has a standard output")?;
    let mut printed = String::new();
    let mut is_done = false;
    for line in BufReader::new(out).lines() {
        let line = line?;
        is_done = line == "done";
        if is_done {
            break;
        }
        printed.push_str(&line);
        printed.push('\n');
    }
    let forms = Forms::of(secret);
    let found = memory::find(process.id(), &forms);
    let control = memory::find(process.id(), &Forms::plain(held));
    drop(process.stdin.take());
    let output = process.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(is_done, "the client was not done: {printed}{errors}");
    ensure!(!control?.is_empty(), "the search finds not even {held:?}");
    let (found, files) = (found?, forms.found_below(folder)?);
    ensure!(found.is_empty(), "the secret is in the client: {found:#?}");
    ensure!(files.is_empty(), "it wrote the secret down: {files:?}");
    let received = [&printed, &errors].map(|text| forms.found_in(text.as_bytes()));
    ensure!(
        received.concat().is_empty(),
        "it received the secret: {received:?}"
    );
    Ok(Said { printed, errors })
}
