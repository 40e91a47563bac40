//! `lanyard up`, and what `lanyard down` does when no node agent runs: both call its program, which
//! here is a script beside a copy of the command.

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Instant,
};

use lanyard_protocol::{
    control::{AgentStatus, Reply, Request, Status, reply},
    frame,
};
use tempfile::TempDir;

use crate::fake::{DEADLINE, lanyard, nobody, text, write_program};

/// A copy of the command with a node agent of its own.
struct Installed {
    folder: TempDir,
}

impl Installed {
    fn with(script: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_lanyard"))
            .arg(folder.path().join("lanyard"))
            .status();
        assert!(copied.unwrap().success());
        let script = format!("#!/bin/sh\n{script}");
        write_program(&folder.path().join("lanyard-node-agent"), &script);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(self.path("lanyard"))
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LANYARD_RUN_DIR", self.path("run"))
            .env("LANYARD_STATE", self.path("state"))
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// What the node agent is always called with here.
    fn place(&self) -> String {
        let run = self.path("run");
        let state = self.path("state");
        format!("--run-dir {} --state {}", run.display(), state.display())
    }

    /// Answers one question for the status.
    fn serve_status(&self) {
        fs::create_dir_all(self.path("run/local")).unwrap();
        let listener = UnixListener::bind(self.path("run/local/control.sock")).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _: Request = frame::read(&mut stream).unwrap();
            let status = Status {
                node: "local".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                agents: vec![AgentStatus::default()],
                problems: vec!["a.yaml:1:1: no kind".into()],
                ..Status::default()
            };
            let reply = Some(reply::Reply::Status(status));
            frame::write(&mut stream, &Reply { reply }).unwrap();
        });
    }
}

/// Only root may do these things; everyone else is refused, which is then what is tested.
fn is_refused_for_others(output: &Output) -> bool {
    if rustix::process::geteuid().is_root() {
        return false;
    }
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with("error: only root can"),
        "{output:?}"
    );
    assert!(env::var_os("CI").is_none(), "this test needs root");
    eprintln!("tested only the refusal: the rest needs root");
    true
}

fn wait_for(path: &Path) -> String {
    let begin = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(content) if content.ends_with('\n') => return content,
            _ if begin.elapsed() > DEADLINE => panic!("{} did not appear", path.display()),
            _ => thread::yield_now(),
        }
    }
}

#[test]
fn up_becomes_the_node_agent() {
    let installed = Installed::with("echo \"$@\"; exit 5");
    let output = installed.run(&["up", "-f", "a", "-f", "/b"]);
    if is_refused_for_others(&output) {
        return;
    }
    assert_eq!(output.status.code(), Some(5));
    let manifests = format!(
        "--manifests {} --manifests /b",
        installed.path("a").display()
    );
    let expected = format!("local {} {manifests}\n", installed.place());
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn up_detached_returns_when_the_node_agent_serves() {
    let installed = Installed::with(
        "echo loading\n\
         echo \"$PWD $(cut -d ' ' -f 6 /proc/$$/stat) $$ $(readlink /proc/self/fd/0)\" >&2\n\
         echo ready",
    );
    installed.serve_status();
    let output = installed.run(&["up", "--detach"]);
    if is_refused_for_others(&output) {
        return;
    }
    let state = installed.path("state");
    let expected = format!(
        "ready: node local, 1 agent, 0 grants, {}\n",
        state.display()
    );
    assert_eq!(text(&output.stdout), expected, "{output:?}");
    let warning = "warning: a manifest was not read: a.yaml:1:1: no kind\n";
    assert_eq!(text(&output.stderr), warning);
    let log = wait_for(&state.join("node-agent.log"));
    let words: Vec<_> = log.split_whitespace().collect();
    let [folder, session, process, stdin] = words.as_slice() else {
        panic!("{log}")
    };
    assert_eq!((*folder, *stdin), ("/", "/dev/null"));
    assert_eq!(session, process, "it leads its session");
}

#[test]
fn up_detached_shows_why_the_node_agent_ended() {
    let installed = Installed::with("echo 'error: no cgroup v2' >&2; exit 3");
    let output = installed.run(&["up", "--detach"]);
    if is_refused_for_others(&output) {
        return;
    }
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    let expected = "error: the node agent ended before it was ready (exit status: 3)\n  \
                    error: no cgroup v2\nhint: ";
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn down_without_a_node_agent_starts_one_for_it() {
    let installed = Installed::with("echo \"$@\"; exit 0");
    let output = installed.run(&["down", "--kill"]);
    if is_refused_for_others(&output) {
        return;
    }
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout),
        format!("down {} --kill\n", installed.place())
    );
}

#[test]
fn a_missing_node_agent_is_named_with_the_places_that_were_searched() {
    let installed = Installed::with("");
    fs::remove_file(installed.path("lanyard-node-agent")).unwrap();
    let output = installed.run(&["up"]);
    if is_refused_for_others(&output) || Path::new("/usr/libexec/lanyard").exists() {
        return;
    }
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("/usr/libexec/lanyard"), "{told}");
    assert!(
        told.contains(installed.folder.path().to_str().unwrap()),
        "{told}"
    );
}

#[test]
fn a_program_that_cannot_start_a_session_is_told() {
    let (_guard, folder) = nobody();
    let program = folder.join("plain");
    fs::write(&program, "").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let output = lanyard()
        .args(["session", "--"])
        .arg(&program)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("cannot be executed"),
        "{output:?}"
    );
}
