//! Programs of others that the tests speak with: installed once for each set of versions, in a folder outside
//! the checkout that every user may read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::{agent, lab};

/// Where they are.
const FOLDER: &str = "/var/cache/lanyard-peers";

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// The folder of all of them.
pub fn folder() -> &'static Path {
    Path::new(FOLDER)
}

/// A file of the checkout.
pub fn file(name: &str) -> Result<String> {
    let path = source(name);
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// A Python with the packages of `peers/python/requirements.txt`.
pub fn python() -> Result<PathBuf> {
    Ok(venv("python", "python/requirements.txt")?.join("bin/python"))
}

/// A virtual environment of Python with the packages that a file of the peers lists.
pub fn venv(name: &str, requirements: &str) -> Result<PathBuf> {
    installed(name, &[requirements], |folder| {
        // That of the system, which every user may execute.
        lab::run(
            Command::new(agent::python()?)
                .args(["-m", "venv"])
                .arg(folder),
        )?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args([
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "-r",
        ]);
        lab::run(pip.arg(source(requirements))).map(drop)
    })
}

/// A folder with the modules of `peers/node/package-lock.json` below `node_modules`.
pub fn node_modules() -> Result<PathBuf> {
    let files = ["node/package.json", "node/package-lock.json"];
    installed("node", &files, |folder| {
        for name in files {
            let to = folder.join(Path::new(name).file_name().unwrap_or_default());
            fs::copy(source(name), to)?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        lab::run(npm.current_dir(folder)).map(drop)
    })
}

/// The client of `peers/go`, built.
pub fn go_client() -> Result<PathBuf> {
    let folder = installed("go", &["go/main.go", "go/go.mod"], |folder| {
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(folder.join("client")).arg(".");
        lab::run(go.current_dir(source("go"))).map(drop)
    })?;
    Ok(folder.join("client"))
}

/// The client of `peers/java`, compiled: a folder of classes.
pub fn java_client() -> Result<PathBuf> {
    installed("java", &["java/Client.java"], |folder| {
        let mut javac = Command::new("javac");
        javac.arg("-d").arg(folder).arg(source("java/Client.java"));
        lab::run(&mut javac).map(drop)
    })
}

/// The folder of what those files say, made by `make` if it is not there. What was made half is made again.
pub fn installed(
    name: &str,
    files: &[&str],
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "needs root, to install peers in {FOLDER}"
    );
    let mut digest = Sha256::new();
    for file in files {
        digest.update(fs::read(source(file)).with_context(|| format!("read {file}"))?);
    }
    let version = hex::encode(digest.finalize());
    let folder = Path::new(FOLDER).join(format!("{name}-{}", &version[..16]));
    let done = folder.join(".installed");
    if done.exists() {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    make(&folder).with_context(|| format!("install the peers of {name}"))?;
    fs::write(done, "")?;
    Ok(folder)
}
