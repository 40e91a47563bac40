//! The processes of a lab: each is started once, known again afterwards, and started anew when it should be another.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{holder, place::Node, place::Place, process::Process};
use crate::wait;

/// How long a part may take to end by itself before it is started anew.
const GRACE: Duration = Duration::from_secs(10);

/// The name of a record that is being written.
const UNFINISHED: &str = "unfinished";

/// How long nobody asks after a part has not answered.
const PAUSE: Duration = Duration::from_millis(80);

/// How much of a log is shown when its part has ended.
const LAST_LINES: usize = 10;

/// A process as it should be.
#[derive(Debug)]
pub(super) struct Part {
    pub node: Node,
    pub name: &'static str,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Files that it reads when it starts, with what is in them.
    pub files: Vec<(PathBuf, String)>,
}

/// A process as it was started.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The node it is on.
    pub node: u8,
    /// What it is.
    pub name: String,
    /// Which process.
    pub process: Process,
    /// Of all that it was started with.
    fingerprint: String,
}

impl Part {
    /// Starts it on its node, unless it runs there as it should be. Says whether it was started.
    pub(super) fn start(&self) -> Result<bool> {
        let fingerprint = self.fingerprint();
        if let Some(record) = Record::read(&self.record())? {
            if record.process.is_alive() && record.fingerprint == fingerprint {
                return Ok(false);
            }
            record.process.ask_to_end()?;
            record.process.wait_or_kill(GRACE)?;
        }
        for (path, content) in &self.files {
            write(path, content)?;
        }
        let mut command = holder::on(self.node, &self.program)?;
        command.args(&self.arguments);
        self.spawn(&command, fingerprint)
            .with_context(|| format!("start {}", self.name))?;
        Ok(true)
    }

    /// Starts a command with nothing of this process's environment: a proxy that is named there is not the lab's.
    pub(super) fn spawn(&self, command: &Command, fingerprint: String) -> Result<Process> {
        let log = open_log(&self.log())?;
        // A session of its own: neither the end of a terminal nor Ctrl-C reaches it. It executes, and so does each
        // program after it: the process that is started is the part itself.
        let mut apart = Command::new("setsid");
        apart
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir("/")
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.node.folder())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = apart.spawn().context("start setsid")?;
        let record = Record {
            node: self.node.index(),
            name: self.name.to_owned(),
            process: Process::of(child.id())?,
            fingerprint,
        };
        record.write(&self.record())?;
        // When it ends before us, somebody has to wait for it. Otherwise this ends with us, and another does.
        thread::spawn(move || child.wait());
        Ok(record.process)
    }

    /// Waits until it answers; says what it logged when it has ended before.
    pub(super) fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut answers: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let name = self.name;
        let waited = wait::until(&format!("{name} {what}"), limit, || {
            let is_alive =
                Record::read(&self.record())?.is_some_and(|record| record.process.is_alive());
            if !is_alive {
                bail!("{name} has ended");
            }
            if answers()? {
                return Ok(Some(()));
            }
            // Whoever asks is a program of its own each time, and takes from the processor what the part needs.
            thread::sleep(PAUSE);
            Ok(None)
        });
        waited.map_err(|error| {
            let log = self.log();
            let (path, lines) = (log.display(), last_lines(&log));
            error.context(format!(
                "{name} does not answer; {path} ends with:\n{lines}\nfor"
            ))
        })
    }

    fn record(&self) -> PathBuf {
        records(self.node.place()).join(format!("{}.{}", self.node.name(), self.name))
    }

    /// Where it logs.
    pub(super) fn log(&self) -> PathBuf {
        log(self.node, self.name)
    }

    fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        let program = self.program.display().to_string();
        let contents = self.files.iter().map(|(_, content)| content);
        for part in [&program]
            .into_iter()
            .chain(&self.arguments)
            .chain(contents)
        {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        hex::encode(digest.finalize())
    }
}

impl Record {
    /// All of a lab, of those that have ended too.
    pub(super) fn all(place: Place) -> Result<Vec<Self>> {
        let folder = records(place);
        let mut paths: Vec<PathBuf> = match fs::read_dir(&folder) {
            Ok(entries) => entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<_>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("read {}", folder.display()));
            }
        };
        paths.retain(|path| !path.ends_with(UNFINISHED));
        paths.sort();
        paths
            .iter()
            .filter_map(|path| Self::read(path).transpose())
            .collect()
    }

    /// One that cannot be read is as good as none: the process, if there is one, ends with its node's cgroup.
    fn read(path: &Path) -> Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Whole, or not at all.
    fn write(&self, path: &Path) -> Result<()> {
        let new = path.with_file_name(UNFINISHED);
        write(&new, &serde_json::to_string(self)?)?;
        fs::rename(&new, path).with_context(|| format!("write {}", path.display()))
    }

    /// Takes it away, once its process has ended.
    pub(super) fn forget(&self, place: Place) -> Result<()> {
        let node = place.node(self.node).name();
        let path = records(place).join(format!("{node}.{}", self.name));
        fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))
    }
}

fn records(place: Place) -> PathBuf {
    place.folder().join("processes")
}

/// Where a part logs.
pub(super) fn log(node: Node, name: &str) -> PathBuf {
    node.place()
        .folder()
        .join("logs")
        .join(format!("{}.{name}.log", node.name()))
}

/// Writes a file, and the folders above it. Not by a new file that gets its name: containerd does not see that in
/// the folder of networks.
fn write(path: &Path, content: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}

fn open_log(path: &Path) -> Result<fs::File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Part {
        Part {
            node: Place::OF_TESTS.node(1),
            name: "etcd",
            program: "/tools/etcd-1/etcd".into(),
            arguments: vec!["--a".into(), "b".into()],
            files: vec![("/etc/x".into(), "content".into())],
        }
    }

    #[test]
    fn a_part_is_another_when_anything_it_is_started_with_is() {
        let own = part().fingerprint();
        assert_eq!(own, part().fingerprint());
        let mut others = [part(), part(), part()];
        others[0].program = "/tools/etcd-2/etcd".into();
        others[1].arguments = vec!["--ab".into()];
        others[2].files[0].1 = "other".into();
        for other in others {
            assert_ne!(own, other.fingerprint());
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n1.etcd");
        assert!(Record::read(&path).unwrap().is_none());
        fs::write(&path, r#"{"node":1,"name":"et"#).unwrap();
        assert!(Record::read(&path).unwrap().is_none());
        let text = r#"{"node":1,"name":"etcd","process":{"pid":7,"started":9,"boot":"b"},"fingerprint":"f"}"#;
        fs::write(&path, text).unwrap();
        assert_eq!(Record::read(&path).unwrap().unwrap().name, "etcd");
    }
}
