//! What one scope does to the node agent, no other scope waits for.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    fs::{self, OpenOptions},
    io::BufReader,
    process::{Child, ChildStdout, Stdio},
};

use lanyard_e2e::{
    agent,
    brokers::resident_kib,
    dialogue::Dialogue,
    grant::NamedGrant,
    manifest::{DirectGrant, Identity},
    scenes::{Stage, TOOLS, USER},
    service::{self, NAME},
    silent_file::SilentFile,
};

/// Executes a program again and again, as fast as it can: at least so often, and until its standard input ends.
const STORM: &str = r#"
import os, select, sys
program, least = sys.argv[1], int(sys.argv[2])
print("started", flush=True)
done = 0
while done < least or not select.select([sys.stdin], [], [], 0)[0]:
    batch = [os.posix_spawn(program, [program], os.environ) for _ in range(20)]
    done += len(batch)
    for process in batch:
        os.waitpid(process, 0)
print("over", flush=True)
"#;

/// Executes a program so many times, and waits.
const SPAWN: &str = r#"
import os, sys
for _ in range(int(sys.argv[2])):
    os.posix_spawn(sys.argv[1], ["sleep", "120"], os.environ)
print("spawned", flush=True)
sys.stdin.read()
"#;

fn write_identity(stage: &Stage, identity: Identity) {
    let yaml = identity.yaml();
    stage.lab.write("manifests/coder.yaml", &yaml).unwrap();
    stage
        .lanyard
        .until_enforcement("default/coder", "Enforce")
        .unwrap();
}

/// Another agent, of another user, starts and reaches what it is granted.
fn another_agent_works(stage: &Stage) {
    let url = stage.plain_url("/");
    let granted = stage.curl(&["--max-time", "15", &url]).output().unwrap();
    assert!(
        granted.status.success(),
        "{granted:?} {}",
        stage.lanyard.daemon_log()
    );
}

/// The agent `coder`, which is told to end by its standard input, and what it says.
fn start(stage: &Stage, command: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut agent = stage
        .lanyard
        .run_as("coder", None, command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(agent.stdout.take().unwrap());
    (agent, said)
}

fn next_line(said: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// A counter of the node; one that does not exist fails the test.
fn counter(stage: &Stage, name: &str) -> u64 {
    let status = stage.lanyard.status().unwrap();
    status["counters"][name].as_u64().unwrap()
}

/// Several thousand executions of what nothing lists, one after the other and beside each other.
#[test]
fn a_storm_of_executions_loses_no_event_and_delays_no_other_agent() {
    const EXECUTIONS: &str = "8000";
    let stage = Stage::set().unwrap();
    let identity = Identity::named("coder")
        .program("python", &stage.python, "Inherit")
        .unwrap();
    write_identity(&stage, identity);
    let python = stage.python.display().to_string();
    let command = [python.as_str(), "-c", STORM, "/bin/true", EXECUTIONS];
    let (mut agent, mut said) = start(&stage, &command);
    assert_eq!(next_line(&mut said), "started");
    for _ in 0..10 {
        another_agent_works(&stage);
    }
    assert!(agent.try_wait().unwrap().is_none(), "the storm goes on");
    drop(agent.stdin.take());
    assert_eq!(next_line(&mut said), "over");
    assert!(agent.wait().unwrap().success());
    for ring in ["LostExecs", "LostRefusals", "LostFlows"] {
        assert_eq!(counter(&stage, ring), 0, "{ring}");
    }
    another_agent_works(&stage);
}

/// Thousands of processes that live at once.
#[test]
fn a_scope_full_of_processes_delays_no_other_agent() {
    let stage = Stage::set().unwrap();
    let identity = Identity::named("coder")
        .program("python", &stage.python, "Inherit")
        .unwrap();
    write_identity(&stage, identity);
    let sleep = fs::canonicalize("/bin/sleep").unwrap();
    let (python, sleep) = (
        stage.python.display().to_string(),
        sleep.display().to_string(),
    );
    let (mut agent, mut said) = start(&stage, &[&python, "-c", SPAWN, &sleep, "3000"]);
    assert_eq!(next_line(&mut said), "spawned");
    for _ in 0..5 {
        another_agent_works(&stage);
    }
    assert_eq!(counter(&stage, "LostExecs"), 0);
    drop(agent.stdin.take());
    agent.wait().unwrap();
}

/// A listed program of a size that takes hours to read.
#[test]
fn a_sparse_terabyte_is_not_read_and_delays_nobody() {
    let stage = Stage::set().unwrap();
    let huge = agent::dial(&stage.lab, "huge").unwrap();
    let identity = Identity::named("coder")
        .program("python", &stage.python, "None")
        .unwrap()
        .program("huge", &huge, "None")
        .unwrap();
    write_identity(&stage, identity);
    let grown = OpenOptions::new().write(true).open(&huge).unwrap();
    grown.set_len(1 << 40).unwrap();
    drop(grown);
    let grant = DirectGrant {
        name: "huge",
        agent: "coder",
        requires: "Image",
        host: &stage.lab.address(),
        port: service::PLAIN_PORT,
        protocol: "TCP",
        duration: "1h",
    };
    stage
        .lab
        .write("manifests/huge.yaml", grant.yaml())
        .unwrap();
    stage.lanyard.until_live("default/huge").unwrap();
    let (huge, port) = (huge.display().to_string(), service::PLAIN_PORT.to_string());
    let command = [huge.as_str(), &stage.lab.address(), &port];
    let refused = stage
        .lanyard
        .run_as("coder", None, &command)
        .output()
        .unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    stage.lanyard.explain_last("larger than").unwrap();
    another_agent_works(&stage);
}

/// A listed program on a filesystem that never answers the node agent, executed more often than it looks at once.
#[test]
fn a_file_that_never_answers_delays_nobody_else() {
    const EXECUTIONS: usize = 40;
    let mut stage = Stage::set().unwrap();
    let sleep = fs::canonicalize("/bin/sleep").unwrap();
    let mut silent = SilentFile::mount(&stage.lab, &stage.python, &sleep).unwrap();
    // The node agent sees mounts that are there when it starts.
    stage.lanyard.kill_everything().unwrap();
    stage.lanyard.start(&stage.lab).unwrap();
    let identity = Identity::named("coder")
        .program("python", &stage.python, "None")
        .unwrap()
        .program("silent", &silent.path(), "None")
        .unwrap();
    write_identity(&stage, identity);
    silent.ignore(stage.lanyard.daemon().unwrap()).unwrap();
    let (python, path) = (stage.python.display().to_string(), silent.path());
    let (path, count) = (path.display().to_string(), EXECUTIONS.to_string());
    let (mut agent, mut said) = start(&stage, &[&python, "-c", SPAWN, &path, &count]);
    assert_eq!(next_line(&mut said), "spawned");
    silent.until_somebody_waits().unwrap();
    for _ in 0..5 {
        another_agent_works(&stage);
    }
    // Nor does one wait that is started by its own name.
    let mut waiting: Vec<Child> = (0..24)
        .map(|_| {
            let mut run = stage.lanyard.run_as("coder", Some(USER), &[&path, "1"]);
            run.stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    silent.until_somebody_waits().unwrap();
    let root = stage.python(&["-c", "print('started')"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&root.stdout).trim(), "started");
    for run in &mut waiting {
        run.kill().unwrap();
        run.wait().unwrap();
    }
    drop(agent.stdin.take());
    drop(silent);
    agent.wait().unwrap();
}

/// Asks for what no grant allows, over many connections, as fast as it can: at least so often, and until it is told
/// to end.
const REFUSED: &str = r#"
import http.client, select, sys, threading, ssl
host, port, least = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = ssl.create_default_context()
refused, ends = [0] * 16, threading.Event()
def ask(number):
    connection = http.client.HTTPSConnection(host, port, timeout=60, context=context)
    while refused[number] < least or not ends.is_set():
        connection.request("GET", "/refused")
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 403, reply.status
        refused[number] += 1
threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(refused))]
for thread in threads:
    thread.start()
print("started", flush=True)
sys.stdin.readline()
ends.set()
for thread in threads:
    thread.join()
print("refused", min(refused) >= least, flush=True)
"#;

/// What the node agent may grow by, in KiB, whatever is refused meanwhile.
const GROWN_KIB: u64 = 64 << 10;

/// Each of them is recorded by the node agent, which serves all.
#[test]
fn a_flood_of_refused_requests_delays_no_other_agent_and_is_not_kept() {
    let stage = Stage::with_tools().unwrap();
    let grant = NamedGrant {
        resource: vec!["http: [{ path: /orders/* }]".to_owned()],
        credential: None,
        ..stage.grant("little")
    };
    stage.give(&grant).unwrap();
    let python = stage.python.display().to_string();
    let command = [&python, "-c", REFUSED, NAME, "443", "200"].map(|word| word as &str);
    let mut flood = stage.lanyard.run_as(TOOLS, Some(USER), &command);
    let daemon = stage.lanyard.daemon().unwrap();
    let before = resident_kib(daemon).unwrap();
    let mut flood = Dialogue::start(&mut flood).unwrap();
    assert_eq!(flood.hear().unwrap(), "started");
    for _ in 0..10 {
        another_agent_works(&stage);
        let grown = resident_kib(daemon).unwrap().saturating_sub(before);
        assert!(grown < GROWN_KIB, "{grown} KiB more than before");
    }
    assert_eq!(flood.ask("end").unwrap(), "refused True");
    another_agent_works(&stage);
}
