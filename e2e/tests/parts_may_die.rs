//! Promise 9, as far as it goes today: parts may die, and nothing opens.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use lanyard_e2e::{
    agent,
    manifest::{DirectGrant, Identity},
    scenes::Stage,
    service,
};

/// Asks for what is granted and for what is not, each time a line comes.
const ASKING: &str = r#"
import sys, urllib.request, socket
def asked(url):
    try:
        return urllib.request.urlopen(url, timeout=20).status
    except OSError as error:
        return "refused"
def connected(address, port):
    try:
        socket.create_connection((address, int(port)), timeout=5).close()
        return "connected"
    except OSError as error:
        return "refused"
for line in sys.stdin:
    print(asked(sys.argv[1]), asked(sys.argv[2]), connected(sys.argv[3], sys.argv[4]), flush=True)
"#;

/// An agent that asks when it is told to.
struct Asking {
    agent: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asking {
    /// Of two URLs, and of a connection to a port of the service's host.
    fn start(stage: &Stage, url: &str, other_url: &str, port: u16) -> Self {
        let (address, port) = (stage.lab.address(), port.to_string());
        let mut command = stage.python(&["-c", ASKING, url, other_url, &address, &port]);
        let mut agent = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = agent.stdin.take().unwrap();
        let output = BufReader::new(agent.stdout.take().unwrap());
        Self {
            agent,
            input,
            output,
        }
    }

    fn ask(&mut self) -> String {
        self.input.write_all(b"ask\n").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn end(mut self) {
        drop(self.input);
        self.agent.wait().unwrap();
    }
}

#[test]
fn an_agent_lives_through_the_death_and_return_of_everything() {
    let mut stage = Stage::set().unwrap();
    let (url, plain) = (stage.url("/"), stage.plain_url("/"));
    let mut agent = Asking::start(&stage, &url, &plain, service::PEER_PORT);
    assert_eq!(
        agent.ask(),
        "200 200 refused",
        "alive: {}",
        stage.lanyard.daemon_log()
    );
    stage.lanyard.kill_everything().unwrap();
    let dead = agent.ask();
    assert_eq!(
        dead, "refused 200 refused",
        "the broker's access is gone, the kernel's is as it was"
    );
    stage.lanyard.start(&stage.lab).unwrap();
    assert_eq!(
        agent.ask(),
        "200 200 refused",
        "back: {}",
        stage.lanyard.daemon_log()
    );
    agent.end();
}

/// Connects again and again, from one program that is granted it and from one that is not, and says at its
/// end how often each got through and was refused.
const LOAD: &str = r#"
import json, socket, subprocess, sys, threading
listed, other, address, port = sys.argv[1:]
ended = threading.Event()
counts = {}
def own():
    reached = refused = 0
    while not ended.is_set():
        try:
            socket.create_connection((address, int(port)), timeout=20).close()
            reached += 1
        except OSError as error:
            refused += 1
            print("own:", error, file=sys.stderr, flush=True)
    counts["own"] = [reached, refused]
def child(name, program):
    reached = refused = 0
    while not ended.is_set():
        done = subprocess.run([program, address, port], capture_output=True)
        if done.returncode == 0:
            reached += 1
        else:
            refused += 1
    counts[name] = [reached, refused]
threads = [
    threading.Thread(target=own),
    threading.Thread(target=child, args=("listed", listed)),
    threading.Thread(target=child, args=("other", other)),
]
for thread in threads:
    thread.start()
print("under load", flush=True)
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
print(json.dumps(counts), flush=True)
"#;

/// An agent under [`LOAD`].
struct Load {
    agent: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Load {
    fn start(stage: &Stage) -> Self {
        let listed = agent::dial(&stage.lab, "listed").unwrap();
        let other = agent::dial(&stage.lab, "other").unwrap();
        agent::change_one_byte(&other).unwrap();
        let identity = Identity::named("bot")
            .program("python", &stage.python, "None")
            .unwrap()
            .program("dial", &listed, "None")
            .unwrap();
        stage
            .lab
            .write("manifests/bot.yaml", identity.yaml())
            .unwrap();
        stage.lanyard.until_written("default/bot", "dial").unwrap();
        let (listed, other) = (listed.display().to_string(), other.display().to_string());
        let (address, port) = (stage.lab.address(), service::PLAIN_PORT.to_string());
        let mut command = stage.python(&["-c", LOAD, &listed, &other, &address, &port]);
        let mut agent = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = agent.stdin.take().unwrap();
        let mut output = BufReader::new(agent.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "under load", "{}", stage.lanyard.daemon_log());
        Self {
            agent,
            input,
            output,
        }
    }

    /// How often its own connections got through and were refused, then those of the listed and of the other
    /// program that it started.
    fn end(mut self) -> [[u64; 2]; 3] {
        drop(self.input);
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        self.agent.wait().unwrap();
        let counts: serde_json::Value = serde_json::from_str(&line).unwrap();
        ["own", "listed", "other"]
            .map(|name| [0, 1].map(|place| counts[name][place].as_u64().unwrap()))
    }
}

/// While it is dead, programs that start have no identity yet; what has one keeps it throughout.
#[test]
fn a_node_agent_that_dies_and_returns_under_load_leaks_nothing_and_refuses_nothing_granted() {
    let mut stage = Stage::set().unwrap();
    let load = Load::start(&stage);
    for _ in 0..3 {
        stage.lanyard.kill_everything().unwrap();
        stage.lanyard.start(&stage.lab).unwrap();
        until_new_programs_get_through(&stage);
    }
    let [own, listed, other] = load.end();
    assert!(own[0] > 100 && listed[0] > 0 && other[1] > 0, "no load");
    assert_eq!((own[1], other[0]), (0, 0), "{own:?} {listed:?} {other:?}");
}

/// Another build of the kernel programs takes the place of the one that enforces.
#[test]
fn an_upgrade_under_load_leaks_nothing_and_refuses_nothing_granted() {
    let mut stage = Stage::set().unwrap();
    let load = Load::start(&stage);
    let before = object_of(&stage);
    for _ in 0..2 {
        stage.lanyard.kill_everything().unwrap();
        stage.lanyard.become_another_build().unwrap();
        stage.lanyard.start(&stage.lab).unwrap();
        until_new_programs_get_through(&stage);
    }
    let [own, listed, other] = load.end();
    assert_ne!(
        object_of(&stage),
        before,
        "the programs are still the old ones"
    );
    assert!(own[0] > 100 && listed[0] > 0 && other[1] > 0, "no load");
    assert_eq!((own[1], other[0]), (0, 0), "{own:?} {listed:?} {other:?}");
    let left = stage.lanyard.down().unwrap();
    assert!(left.is_empty(), "left behind: {left:?}");
}

fn until_new_programs_get_through(stage: &Stage) {
    lanyard_e2e::wait::until(
        "a new program gets through",
        std::time::Duration::from_secs(20),
        || {
            let python = stage
                .python(&[
                    "-c",
                    "import urllib.request, sys; urllib.request.urlopen(sys.argv[1], timeout=15)",
                    &stage.plain_url("/"),
                ])
                .output()?;
            Ok(python.status.success().then_some(()))
        },
    )
    .unwrap();
}

/// Which build's programs enforce: the folder of their pins says it.
fn object_of(stage: &Stage) -> Vec<String> {
    let pins = std::path::PathBuf::from("/sys/fs/bpf/lanyard").join(stage.lab.node());
    let versions = std::fs::read_dir(pins).unwrap().flatten();
    let names = versions.flat_map(|version| std::fs::read_dir(version.path()).unwrap().flatten());
    names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("object_"))
        .collect()
}

/// Ten thousand grants of one agent, beside the ones it uses.
#[test]
fn ten_thousand_grants_are_taken_up_and_those_that_are_used_work() {
    let stage = Stage::set().unwrap();
    for part in 0..20_u32 {
        let grant = |number: u32| {
            let number = part * 500 + number;
            let host = format!("10.200.{}.{}", number / 250, number % 250 + 1);
            DirectGrant {
                name: &format!("many-{number}"),
                agent: "bot",
                requires: "Image",
                host: &host,
                port: 5432,
                protocol: "TCP",
                duration: "1h",
            }
            .yaml()
        };
        let text: Vec<String> = (0..500).map(grant).collect();
        stage
            .lab
            .write(&format!("manifests/many-{part}.yaml"), text.join("---\n"))
            .unwrap();
    }
    stage.lanyard.until_live("default/many-9999").unwrap();
    let granted = stage.curl(&[&stage.plain_url("/")]).output().unwrap();
    assert!(
        granted.status.success(),
        "{granted:?} {}",
        stage.lanyard.daemon_log()
    );
    let other = format!("http://10.200.41.1:{}/", service::PLAIN_PORT);
    let refused = stage.curl(&["--max-time", "15", &other]).output().unwrap();
    assert_eq!(refused.status.code(), Some(7), "{refused:?}");
    stage.lanyard.revoke("default/many-9999").unwrap();
    let again = stage.curl(&[&stage.url("/")]).output().unwrap();
    assert!(
        again.status.success(),
        "{again:?} {}",
        stage.lanyard.daemon_log()
    );
}

/// A number that is used twice would hand one agent's grants to what is left of another.
#[test]
fn what_is_left_of_a_forgotten_scope_gets_no_grants_of_a_new_one() {
    let mut stage = Stage::set().unwrap();
    let plain = stage.plain_url("/");
    let mut agent = Asking::start(&stage, &plain, &plain, service::PLAIN_PORT);
    assert_eq!(
        agent.ask(),
        "200 200 connected",
        "{}",
        stage.lanyard.daemon_log()
    );
    stage.lanyard.kill_everything().unwrap();
    std::fs::remove_file(stage.lab.path("state/state.json")).unwrap();
    stage.lanyard.start(&stage.lab).unwrap();
    assert!(
        stage.curl(&[&plain]).output().unwrap().status.success(),
        "a new scope works"
    );
    assert_eq!(
        agent.ask(),
        "refused refused refused",
        "{}",
        stage.lanyard.daemon_log()
    );
    let left = stage.lanyard.down().unwrap();
    agent.end();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// A node agent that was killed while it removed a scope.
#[test]
fn files_of_a_scope_that_are_half_removed_keep_nothing_from_starting() {
    let mut stage = Stage::set().unwrap();
    let mut agent = stage.python(&["-c", "import sys; sys.stdin.read()"]);
    let mut agent = agent.stdin(Stdio::piped()).spawn().unwrap();
    lanyard_e2e::wait::until(
        "the scope is there",
        std::time::Duration::from_secs(10),
        || Ok(stage.lanyard.scope_cgroup().ok()),
    )
    .unwrap();
    stage.lanyard.kill_everything().unwrap();
    for scope in std::fs::read_dir(stage.lab.path("state/scopes")).unwrap() {
        std::fs::remove_file(scope.unwrap().path().join("root.key")).unwrap();
    }
    stage.lanyard.start(&stage.lab).unwrap();
    assert!(
        stage
            .curl(&[&stage.url("/")])
            .output()
            .unwrap()
            .status
            .success(),
        "{}",
        stage.lanyard.daemon_log()
    );
    drop(agent.stdin.take());
    agent.wait().unwrap();
}

/// Executions that nobody was there to be told of, more than the kernel keeps: what runs of them is found.
#[test]
fn executions_that_the_kernel_could_not_tell_are_found() {
    const STORM: &str = r#"
import os, subprocess, sys
for line in sys.stdin:
    for _ in range(1500):
        batch = [os.posix_spawn("/bin/true", ["true"], os.environ) for _ in range(20)]
        for process in batch:
            os.waitpid(process, 0)
    curl = subprocess.Popen([sys.argv[1], "--silent", "--show-error", sys.argv[2]])
    print("storm over", flush=True)
    print(curl.wait(), flush=True)
"#;
    let mut stage = Stage::set().unwrap();
    let (curl, url) = (stage.curl.display().to_string(), stage.plain_url("/"));
    let mut agent = stage
        .python(&["-c", STORM, &curl, &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = agent.stdin.take().unwrap();
    let mut said = BufReader::new(agent.stdout.take().unwrap()).lines();
    stage.lanyard.until_attested(agent.id()).unwrap();
    stage.lanyard.stop_everything().unwrap();
    input.write_all(b"go\n").unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "storm over");
    stage.lanyard.go_on().unwrap();
    let rest: Vec<String> = said.by_ref().take(2).map(Result::unwrap).collect();
    assert_eq!(
        rest.last().map(String::as_str),
        Some("0"),
        "curl reached its grant: {rest:?} {}",
        stage.lanyard.daemon_log()
    );
    let status = stage.lanyard.status().unwrap();
    let lost = status["counters"]["LostExecs"].as_u64().unwrap();
    assert!(lost > 0, "the storm was too small to show anything");
    drop(input);
    agent.wait().unwrap();
    assert!(stage.curl(&[&url]).output().unwrap().status.success());
}
