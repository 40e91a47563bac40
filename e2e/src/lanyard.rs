//! The programs under test, as a person starts them.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    brokers,
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
    homes: PathBuf,
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
            homes: lab.path("home"),
            daemon: None,
        };
        for user in ["root", "nobody", "daemon"] {
            make_home(&lanyard.homes.join(user), user)?;
        }
        // What a lab of this number enforced that was killed before its end.
        if lanyard.pins().exists() {
            lanyard.down()?;
        }
        lanyard.start(lab)?;
        Ok(lanyard)
    }

    /// Starts the daemon, anew after [`Self::kill_everything`].
    pub fn start(&mut self, lab: &Lab) -> Result<()> {
        self.start_under(lab, None)
    }

    /// The same, by a program that executes what follows.
    pub fn start_under(&mut self, lab: &Lab, wrapper: Option<&Path>) -> Result<()> {
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
            .args(wrapper)
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

    /// The daemon's process, while it runs.
    pub fn daemon(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
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
        self.run_as("bot", user, command)
    }

    /// A command that becomes an agent, in a project folder of its user.
    pub fn run_as(&self, agent: &str, user: Option<&str>, command: &[&str]) -> Command {
        let mut started = match user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", "nogroup", "--clear-groups"]);
                command.arg(self.programs.join("lanyard"));
                command
            }
            None => Command::new(self.programs.join("lanyard")),
        };
        let home = self.homes.join(user.unwrap_or("root"));
        started
            .args(self.place())
            .args(["run", "--as", agent, "--"])
            .args(command)
            .current_dir(home.join("project"))
            .env("HOME", home)
            // Cargo sets it for tests; for an agent it is a variable that changes what it loads.
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::null());
        started
    }

    /// The folder that an agent of a user works in.
    pub fn project(&self, user: Option<&str>) -> PathBuf {
        self.homes.join(user.unwrap_or("root")).join("project")
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

    /// Waits until what the node knows of an agent says so.
    pub fn until_written(&self, agent: &str, text: &str) -> Result<()> {
        until_agent(agent, &|agent| {
            let output =
                lab::run(&mut self.command(&["get", "agentidentity", agent, "-o", "yaml"]))?;
            Ok(String::from_utf8_lossy(&output.stdout).contains(text))
        })
    }

    /// Waits until an agent is enforced, or observed.
    pub fn until_enforcement(&self, agent: &str, enforcement: &str) -> Result<()> {
        until_agent(agent, &|agent| {
            let status = self.status()?;
            let agents = status["agents"].as_array().cloned().unwrap_or_default();
            let is_it =
                |known: &Value| known["agent"] == agent && known["enforcement"] == enforcement;
            Ok(agents.iter().any(is_it))
        })
    }

    /// What `lanyard suggest` prints, once it covers `address`.
    pub fn suggested(&self, agent: &str, address: &str) -> Result<String> {
        wait::until(
            &format!("{address} is suggested"),
            Duration::from_secs(15),
            || {
                let output = lab::run(&mut self.command(&["suggest", "--as", agent]))?;
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                Ok(said.contains(address).then_some(said))
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
        let ended = self.signal_everything(Signal::KILL)?;
        if let Some(mut daemon) = self.daemon.take() {
            daemon.wait()?;
        }
        Ok(ended)
    }

    /// Stops every process of Lanyard, the daemon and every broker: they are there, and do nothing.
    pub fn stop_everything(&mut self) -> Result<usize> {
        self.signal_everything(Signal::STOP)
    }

    /// Lets them go on.
    pub fn go_on(&mut self) -> Result<usize> {
        self.signal_everything(Signal::CONT)
    }

    /// Replaces the node agent by another build of itself: one whose kernel object differs in a word that
    /// nothing reads.
    pub fn become_another_build(&self) -> Result<()> {
        let path = self.programs.join("lanyard-node-agent");
        let mut program = fs::read(&path)?;
        let object = kernel_object(&program).context("find the kernel object in the node agent")?;
        let rest = &mut program[object..];
        let word = b"rustc version";
        let is_word = |bytes: &[u8]| bytes.eq_ignore_ascii_case(word);
        let at = rest
            .windows(word.len())
            .position(is_word)
            .context("find a word in the kernel object's debug information")?;
        // Each time another letter, so that each build differs from those before.
        let count = rest[at..at + word.len()]
            .iter()
            .filter(|byte| byte.is_ascii_uppercase())
            .count();
        rest[at + count].make_ascii_uppercase();
        // Another file under the same name, for the old one may be running.
        let new = path.with_extension("new");
        fs::write(&new, program)?;
        fs::set_permissions(&new, fs::metadata(&path)?.permissions())?;
        fs::rename(&new, &path).context("replace the node agent")
    }

    fn signal_everything(&self, signal: Signal) -> Result<usize> {
        let brokers = self.children()?;
        let daemon = self.daemon().context("the daemon runs")?;
        brokers::signal(daemon, signal)?;
        for broker in &brokers {
            // It may have ended by itself when the daemon did.
            let _ = brokers::signal(*broker, signal);
        }
        Ok(1 + brokers.len())
    }

    /// Ends enforcement and what still runs; says what is left behind, which must be nothing.
    pub fn down(&mut self) -> Result<Vec<String>> {
        if self.daemon.is_some() {
            // A stopped one cannot end.
            let _ = self.go_on();
        }
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

/// Where the kernel object begins in a program that has it inside: an ELF file for the machine BPF (`e_machine`
/// 247), as no other is in there.
fn kernel_object(program: &[u8]) -> Option<usize> {
    const MACHINE: std::ops::Range<usize> = 18..20;
    let is_object = |bytes: &[u8]| bytes.starts_with(b"\x7fELF") && bytes[MACHINE] == [247, 0];
    program.windows(MACHINE.end).position(is_object)
}

fn until_agent(agent: &str, is_so: &dyn Fn(&str) -> Result<bool>) -> Result<()> {
    wait::until(
        &format!("what is written of {agent} is known"),
        Duration::from_secs(15),
        || Ok(is_so(agent)?.then_some(())),
    )
}

/// A home with a project folder in it, which belong to the user.
fn make_home(home: &Path, user: &str) -> Result<()> {
    let project = home.join("project");
    fs::create_dir_all(&project).with_context(|| format!("make {}", project.display()))?;
    if user != "root" {
        lab::run(Command::new("chown").arg("-R").arg(user).arg(home))?;
    }
    Ok(())
}

/// A program of this build: beside this one, or in its parent folder for tests.
#[expect(
    clippy::disallowed_methods,
    reason = "the folder of the build is named by whoever started this"
)]
pub fn built(program: &str) -> Result<PathBuf> {
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
