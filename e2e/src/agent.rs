//! Real programs as agents: curl, in a copy of its own, and Python.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest, Sha256};

use crate::lab::{self, Lab};

/// SHA-256 of a file, as `sha256sum` prints it.
pub fn sha256(path: &Path) -> Result<String> {
    let content = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(hex::encode(Sha256::digest(content)))
}

/// A copy of curl in the lab, so that a byte of it can be changed.
pub fn curl(lab: &Lab) -> Result<PathBuf> {
    lab.copy_program(
        &fs::canonicalize("/usr/bin/curl").context("find curl")?,
        "programs/curl",
    )
}

/// Changes the last byte of a program: a byte that nothing reads when it runs.
pub fn change_one_byte(program: &Path) -> Result<()> {
    let mut content = fs::read(program)?;
    let last = content.last_mut().context("a program is not empty")?;
    *last ^= 1;
    // Another file under the same name, for the old one may be running.
    let new = program.with_extension("new");
    fs::write(&new, content)?;
    fs::set_permissions(&new, fs::metadata(program)?.permissions())?;
    fs::rename(&new, program).context("replace the program")
}

/// The Python that runs, not a link or a wrapper of it.
pub fn python() -> Result<PathBuf> {
    let print = "import os, sys; print(os.path.realpath(sys.executable))";
    let output = lab::run(Command::new("python3").args(["-c", print]))?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    ensure!(path.is_absolute(), "python3 does not say where it is");
    Ok(path)
}
