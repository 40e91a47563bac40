//! The programs under test, as a person starts them.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    lab::{self, Lab},
    service, wait,
};

/// Lanyard on the lab's node.
pub struct Lanyard {
    programs: PathBuf,
    node: String,
    state: PathBuf,
    run: PathBuf,
    log: PathBuf,
    daemon: Option<Child>,
}

impl Lanyard {
    /// Puts the programs into the lab and starts `lanyard up` on what is in its folder `manifests`.
    ///
    /// The daemon sees an `/etc/hosts` that names the lab's service: its resolver is the machine's own.
    pub fn up(lab: &Lab) -> Result<Self> {
        for program in ["lanyard", "lanyard-node-agent", "lanyard-broker"] {
            lab.copy_program(&built(program)?, &format!("bin/{program}"))?;
        }
        let mut lanyard = Self {
            programs: lab.path("bin"),
            node: lab.node(),
            state: lab.path("state"),
            run: lab.path("run"),
            log: lab.path("node-agent.log"),
            daemon: None,
        };
        // What a lab of this number enforced that was killed before its end.
        if lanyard.pins().exists() {
            lanyard.down()?;
        }
        lanyard.start(lab)?;
        Ok(lanyard)
    }

    /// Starts the daemon, anew after [`Self::kill_everything`].
    pub fn start(&mut self, lab: &Lab) -> Result<()> {
        let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        let names = format!(
            "{} {} {}\n{hosts}",
            lab.address(),
            service::NAME,
            service::OTHER_NAME
        );
        let hosts = lab.write("hosts", names)?;
        let mut daemon = Command::new("unshare")
            .args(["--mount", "--propagation", "slave", "sh", "-c"])
            .arg("mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"")
            .arg("sh")
            .arg(hosts)
            .arg(self.programs.join("lanyard"))
            .args(self.place())
            .arg("up")
            .arg("--state")
            .arg(&self.state)
            .arg("--policy")
            .arg(lab.path("local.yaml"))
            .arg("-f")
            .arg(lab.path("manifests"))
            .stdout(Stdio::piped())
            .stderr(
                fs::File::options()
                    .create(true)
                    .append(true)
                    .open(&self.log)?,
            )
            .spawn()
            .context("start lanyard up")?;
        let mut line = String::new();
        let out = daemon.stdout.take().context("the daemon has a stdout")?;
        BufReader::new(out)
            .read_line(&mut line)
            .context("read what the daemon says")?;
        self.daemon = Some(daemon);
        if line.trim() != "ready" {
            bail!("lanyard up is not ready: {}", self.daemon_log());
        }
        Ok(())
    }

    /// What the daemon logged.
    pub fn daemon_log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn pins(&self) -> PathBuf {
        PathBuf::from("/sys/fs/bpf/lanyard").join(&self.node)
    }

    fn place(&self) -> Vec<String> {
        vec![
            "--node".into(),
            self.node.clone(),
            "--run-dir".into(),
            self.run.display().to_string(),
        ]
    }

    /// A `lanyard` command.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("lanyard"));
        command.args(self.place()).args(arguments);
        command
    }

    /// A command that becomes the agent `bot`, as another user if one is named.
    pub fn run(&self, user: Option<&str>, command: &[&str]) -> Command {
        let mut started = match user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", "nogroup", "--clear-groups"]);
                command.arg(self.programs.join("lanyard"));
                command
            }
            None => Command::new(self.programs.join("lanyard")),
        };
        started
            .args(self.place())
            .args(["run", "--as", "bot", "--"])
            .args(command)
            .stdin(Stdio::null());
        started
    }

    /// What `lanyard status` says.
    pub fn status(&self) -> Result<Value> {
        let output = lab::run(&mut self.command(&["status", "-o", "json"]))?;
        serde_json::from_slice(&output.stdout).context("read the status")
    }

    /// What `lanyard explain --last` says, once it says `word`: what the kernel refuses is told a moment after
    /// the program learns of it.
    pub fn explain_last(&self, word: &str) -> Result<String> {
        let mut said = String::new();
        let explained = wait::until(
            &format!("explain says {word}"),
            Duration::from_secs(10),
            || {
                let output = lab::run(&mut self.command(&["explain", "--last"]))?;
                said = String::from_utf8_lossy(&output.stdout).into_owned();
                Ok(said.contains(word).then(|| said.clone()))
            },
        );
        explained.with_context(|| format!("it says: {said}"))
    }

    /// Every record so far.
    pub fn records(&self) -> Result<Vec<Value>> {
        let output = lab::run(&mut self.command(&["audit", "tail", "-o", "json", "-n", "10000"]))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines()
            .map(|line| serde_json::from_str(line).context("read a record"))
            .collect()
    }

    /// Revokes a grant.
    pub fn revoke(&self, grant: &str) -> Result<Output> {
        lab::run(&mut self.command(&["revoke", grant]))
    }

    /// Waits until a grant stands so.
    pub fn until_standing(&self, grant: &str, reason: &str) -> Result<()> {
        wait::until(
            &format!("{grant} is {reason}"),
            Duration::from_secs(15),
            || {
                let status = self.status()?;
                let grants = status["grants"].as_array().cloned().unwrap_or_default();
                let is_it =
                    |standing: &Value| standing["grant"] == grant && standing["reason"] == reason;
                Ok(grants.iter().any(is_it).then_some(()))
            },
        )
    }

    /// Waits until no grant of that name is known.
    pub fn until_gone(&self, grant: &str) -> Result<()> {
        wait::until(&format!("{grant} is gone"), Duration::from_secs(15), || {
            let status = self.status()?;
            let grants = status["grants"].as_array().cloned().unwrap_or_default();
            Ok(grants
                .iter()
                .all(|standing| standing["grant"] != grant)
                .then_some(()))
        })
    }

    /// Waits until a process is the agent by its image.
    pub fn until_attested(&self, pid: u32) -> Result<()> {
        wait::until("the process is attested", Duration::from_secs(10), || {
            let status = self.status()?;
            let scopes = status["scopes"].as_array().cloned().unwrap_or_default();
            let processes = scopes
                .iter()
                .filter_map(|scope| scope["processes"].as_array());
            let is_it = |process: &Value| process["pid"] == pid && process["level"] == "Image";
            Ok(processes.flatten().any(is_it).then_some(()))
        })
    }

    /// Waits until a grant is live.
    pub fn until_live(&self, grant: &str) -> Result<()> {
        self.until_standing(grant, "Active")
    }

    /// The cgroup of the only scope there is.
    pub fn scope_cgroup(&self) -> Result<PathBuf> {
        let status = self.status()?;
        let scope = status["scopes"][0]["scope"]
            .as_str()
            .context("a scope runs")?
            .to_owned();
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        let cgroups = roots.map(|root| root.join("lanyard").join(&self.node).join(&scope));
        cgroups
            .into_iter()
            .find(|path| path.exists())
            .context("the scope has a cgroup")
    }

    /// Ends every process of Lanyard with SIGKILL: the daemon and every broker.
    pub fn kill_everything(&mut self) -> Result<usize> {
        let Some(mut daemon) = self.daemon.take() else {
            bail!("the daemon does not run")
        };
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.id()))?;
        let brokers: Vec<i32> = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect();
        daemon.kill()?;
        for broker in brokers.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // It may have ended by itself when the daemon did.
            let _ = kill_process(broker, Signal::KILL);
        }
        daemon.wait()?;
        Ok(1 + brokers.len())
    }

    /// Ends enforcement and what still runs; says what is left behind, which must be nothing.
    pub fn down(&mut self) -> Result<Vec<String>> {
        let state = self.state.display().to_string();
        lab::run(&mut self.command(&["down", "--kill", "--state", &state]))?;
        if let Some(mut daemon) = self.daemon.take() {
            wait::until("the daemon ends", Duration::from_secs(20), || {
                Ok(daemon.try_wait()?)
            })?;
        }
        let places = [
            self.pins().display().to_string(),
            format!("/sys/fs/cgroup/lanyard/{}", self.node),
            format!("/sys/fs/cgroup/unified/lanyard/{}", self.node),
            self.run.join(&self.node).display().to_string(),
        ];
        Ok(places
            .into_iter()
            .filter(|place| PathBuf::from(place).exists())
            .collect())
    }
}

impl Drop for Lanyard {
    fn drop(&mut self) {
        if (self.daemon.is_some() || self.pins().exists())
            && let Err(error) = self.down()
        {
            tell_lost(&error);
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a drop has nobody to return an error to"
)]
fn tell_lost(error: &anyhow::Error) {
    eprintln!("the lab's node could not be ended: {error:#}");
}

/// A program of this build: beside this one, or in its parent folder for tests.
#[expect(
    clippy::disallowed_methods,
    reason = "the folder of the build is named by whoever started this"
)]
fn built(program: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("find this program")?;
    let named = env::var("LANYARD_BIN_DIR").ok().map(PathBuf::from);
    let near = own.ancestors().skip(1).take(2).map(PathBuf::from);
    let found = named
        .into_iter()
        .chain(near)
        .map(|folder| folder.join(program))
        .find(|path| path.exists());
    found.with_context(|| {
        format!("{program} is not built; start this with: cargo xtask demo, or cargo xtask test")
    })
}
