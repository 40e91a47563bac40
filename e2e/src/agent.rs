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

/// The Python that runs, not a link or a wrapper of it: the system's, which every user may execute.
pub fn python() -> Result<PathBuf> {
    let print = "import os, sys; print(os.path.realpath(sys.executable))";
    let systems = Path::new("/usr/bin/python3");
    let python = if systems.exists() {
        systems
    } else {
        Path::new("python3")
    };
    let output = lab::run(Command::new(python).args(["-c", print]))?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    ensure!(path.is_absolute(), "python3 does not say where it is");
    Ok(path)
}

/// The Node.js that runs.
pub fn node() -> Result<PathBuf> {
    let output = lab::run(Command::new("node").args(["-p", "process.execPath"]))?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    fs::canonicalize(&path).with_context(|| format!("find {}", path.display()))
}

/// A program whose first act is to connect: `dial ADDRESS PORT` asks for `/` and prints the reply.
pub const DIAL: &str = r#"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    if (connect(s, (struct sockaddr *)&to, sizeof to)) { perror("connect"); return 1; }
    const char *ask = "GET / HTTP/1.0\r\n\r\n";
    if (write(s, ask, strlen(ask)) < 0) { perror("write"); return 1; }
    char reply[4096];
    ssize_t length, all = 0;
    while ((length = read(s, reply + all, sizeof reply - all)) > 0) all += length;
    if (length < 0 || all == 0) { perror("read"); return 1; }
    fwrite(reply, 1, all, stdout);
    return 0;
}
"#;

/// [`DIAL`], compiled.
pub fn dial(lab: &Lab, name: &str) -> Result<PathBuf> {
    let source = lab.write("programs/dial.c", DIAL)?;
    let program = lab.path("programs").join(name);
    lab::run(
        Command::new("gcc")
            .arg("-O1")
            .arg("-o")
            .args([&program, &source]),
    )?;
    Ok(program)
}
