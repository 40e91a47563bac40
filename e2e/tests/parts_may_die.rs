//! Promise 9, as far as it goes today: parts may die, and nothing opens.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use lanyard_e2e::{scenes::Stage, service};

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
