//! Building a tool, once for each set of what it is built from, in a folder outside the checkout.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use sha2::{Digest as _, Sha256};

use super::{Program, Tool};
use crate::cluster::progress::{Progress, seconds};

/// How often a compiler is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What to do where Go is missing or too old.
const GO: &str = "Go 1.26 or later is needed on PATH: see https://go.dev/dl";

/// Builds those that are not there, and says where all of them are.
pub fn ready(tools: &[&'static Tool], progress: &Progress) -> Result<Vec<Program>> {
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut programs = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let recipe = Recipe::of(tool)?;
        let program = Program {
            folder: folder.join(format!("{}-{}", tool.name, recipe.fingerprint())),
            name: tool.name,
        };
        if !program.folder.is_dir() {
            let title = format!("building {} ({} of {})", tool.name, index + 1, tools.len());
            let _lock = lock(&folder, progress)?;
            // Whoever had the lock may have built it.
            if !program.folder.is_dir() {
                recipe.build(&program.folder, &title, progress)?;
            }
        }
        programs.push(program);
    }
    Ok(programs)
}

/// Waits until nobody else builds, and says so. Whoever needs nothing that is to be built does not wait.
fn lock(folder: &Path, progress: &Progress) -> Result<fs::File> {
    let file = fs::File::create(folder.join(".lock")).context("open the lock of the tools")?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => progress.going_on("another builds the tools", started),
            Err(error) => return Err(error).context("lock the tools"),
        }
        thread::sleep(LOOK);
    }
}

/// The folder of a tool's module.
pub(super) fn source(tool: &Tool) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tools")
        .join(tool.module)
}

/// Where `cargo xtask` keeps its tools too.
fn folder() -> Result<PathBuf> {
    let given = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = match given.filter(|path| path.is_absolute()) {
        Some(cache) => cache,
        None => env::home_dir()
            .context("the home folder is not known: set HOME")?
            .join(".cache"),
    };
    Ok(cache.join("lanyard/tools"))
}

/// All that decides what comes out of a build.
struct Recipe {
    tool: &'static Tool,
    go_mod: String,
    go_sum: String,
    /// The compiler's version, and what it compiles for.
    compiler: String,
    link_flags: String,
}

impl Recipe {
    fn of(tool: &'static Tool) -> Result<Self> {
        let read = |name: &str| {
            let path = source(tool).join(name);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        let go_mod = read("go.mod")?;
        Ok(Self {
            link_flags: tool.link_flags(&go_mod),
            go_sum: read("go.sum")?,
            compiler: go(
                tool,
                &["env", "GOVERSION", "GOARCH", "GOAMD64", "GOEXPERIMENT"],
            )?,
            go_mod,
            tool,
        })
    }

    fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        for part in [
            &self.go_mod,
            &self.go_sum,
            &self.compiler,
            &self.link_flags,
            self.tool.package,
        ]
        .into_iter()
        .chain(self.tool.files.iter().copied())
        {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        let mut name = hex::encode(digest.finalize());
        name.truncate(16);
        name
    }

    /// Into a folder that gets its name when all is there, so that nothing is found half made.
    fn build(&self, folder: &Path, title: &str, progress: &Progress) -> Result<()> {
        let unfinished = folder.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished)?;
        self.compile(&unfinished, title, progress)?;
        self.copy_files(&unfinished)?;
        fs::rename(&unfinished, folder)
            .with_context(|| format!("give {} its name", folder.display()))
    }

    fn compile(&self, folder: &Path, title: &str, progress: &Progress) -> Result<()> {
        let said = folder.join("go.log");
        let started = Instant::now();
        let mut compiler = command(self.tool)
            .args(["build", "-mod=readonly", "-trimpath", "-ldflags"])
            .arg(&self.link_flags)
            .arg("-o")
            .arg(folder.join(self.tool.name))
            .arg(self.tool.package)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said)?)
            .spawn()
            .context(GO)?;
        let status = loop {
            if let Some(status) = compiler.try_wait().context("look at the compiler")? {
                break status;
            }
            progress.going_on(title, started);
            thread::sleep(LOOK);
        };
        let name = self.tool.name;
        if !status.success() {
            let said = fs::read_to_string(&said).unwrap_or_default();
            bail!("building {name} failed ({status}):\n{}", said.trim_end());
        }
        progress.done(&format!("built {name} in {}", seconds(started.elapsed())));
        Ok(())
    }

    fn copy_files(&self, folder: &Path) -> Result<()> {
        if self.tool.files.is_empty() {
            return Ok(());
        }
        let origin = go(
            self.tool,
            &["list", "-m", "-f", "{{.Dir}}", self.tool.origin],
        )?;
        fs::create_dir(folder.join("files"))?;
        for file in self.tool.files {
            let from = Path::new(origin.trim()).join(file);
            let name = from.file_name().context("a file has a name")?;
            // What is in Go's cache may not be written to, and a copy has the same mode.
            let content = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
            fs::write(folder.join("files").join(name), content)?;
        }
        Ok(())
    }
}

fn command(tool: &Tool) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(source(tool))
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null());
    command
}

/// What Go says about a tool's module.
fn go(tool: &Tool, arguments: &[&str]) -> Result<String> {
    let output = command(tool).args(arguments).output().context(GO)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{}\n{GO}", said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tool::{ETCD, KUBELET};

    fn recipe() -> Recipe {
        Recipe {
            tool: &ETCD,
            go_mod: "module m\n".into(),
            go_sum: "a v1 h1:x\n".into(),
            compiler: "go1.26.0\namd64\n".into(),
            link_flags: "-s -w".into(),
        }
    }

    #[test]
    fn whatever_a_program_is_built_from_is_in_its_folders_name() {
        let own = recipe().fingerprint();
        assert_eq!(own, recipe().fingerprint());
        assert_eq!(own.len(), 16);
        let mut others = [recipe(), recipe(), recipe(), recipe(), recipe()];
        others[0].go_mod.push(' ');
        others[1].go_sum.push(' ');
        others[2].compiler = "go1.26.1\namd64\n".into();
        others[3].link_flags.push_str(" -X a=b");
        others[4].tool = &KUBELET;
        for other in others {
            assert_ne!(own, other.fingerprint());
        }
    }

    #[test]
    fn what_moves_from_one_part_to_the_next_is_another_recipe() {
        let mut other = recipe();
        other.go_mod = "module m\na".into();
        other.go_sum = " v1 h1:x\n".into();
        assert_ne!(recipe().fingerprint(), other.fingerprint());
    }
}
