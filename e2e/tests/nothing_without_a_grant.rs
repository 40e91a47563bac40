//! Promise 2: nothing is reachable without a live grant, from the first instruction on.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use lanyard_e2e::{
    agent,
    manifest::{DirectGrant, Identity},
    scenes::{Stage, refused},
    service,
};

#[test]
fn a_host_without_a_grant_is_reached_neither_by_name_nor_by_address() {
    let stage = Stage::set().unwrap();
    refused::other_host_is_refused(&stage).unwrap();
}

/// Programs whose first act is to connect: before their file can have been hashed.
#[test]
fn of_many_starts_that_connect_at_once_no_granted_one_is_refused_and_no_other_gets_through() {
    const STARTS: usize = 40;
    let stage = Stage::set().unwrap();
    let before = stage.service.requests().unwrap().len();
    let ungranted = format!(
        "http://{}:{}/",
        stage.lab.address(),
        lanyard_e2e::service::TLS_PORT
    );
    for start in 0..STARTS {
        let granted = stage.curl(&[&stage.plain_url("/")]).output().unwrap();
        let log = stage.lanyard.daemon_log();
        assert!(
            granted.status.success(),
            "granted start {start} was refused: {granted:?}\n{log}\n{:#?}",
            stage.lanyard.records().unwrap().split_off(6)
        );
        let refused = stage
            .curl(&["--max-time", "15", &ungranted])
            .output()
            .unwrap();
        assert!(
            !refused.status.success(),
            "start {start} leaked: {refused:?}"
        );
    }
    let arrived = stage.service.requests().unwrap().len() - before;
    assert_eq!(arrived, STARTS, "what arrived is what was granted");
}

/// Programs whose first act is to connect, a thousand of each, started by the agent itself.
#[test]
fn of_two_thousand_starts_no_granted_one_is_refused_and_no_other_gets_through() {
    const STARTS: usize = 1_000;
    const SPAWN: &str = r"
import subprocess, sys
granted, other, address, port, count = sys.argv[1:]
reached = {granted: 0, other: 0}
for _ in range(int(count)):
    for program in reached:
        done = subprocess.run([program, address, port], capture_output=True)
        reached[program] += done.returncode == 0
print(reached[granted], reached[other], flush=True)
";
    let stage = Stage::set().unwrap();
    let granted = agent::dial(&stage.lab, "granted").unwrap();
    let other = agent::dial(&stage.lab, "other").unwrap();
    agent::change_one_byte(&other).unwrap();
    let identity = Identity::named("bot")
        .program("python", &stage.python, "None")
        .unwrap()
        .program("granted", &granted, "None")
        .unwrap();
    stage
        .lab
        .write("manifests/bot.yaml", identity.yaml())
        .unwrap();
    stage
        .lanyard
        .until_written("default/bot", "granted")
        .unwrap();
    let before = stage.service.requests().unwrap().len();
    let (granted, other) = (granted.display().to_string(), other.display().to_string());
    let (address, port) = (stage.lab.address(), service::PLAIN_PORT.to_string());
    let output = stage
        .python(&[
            "-c",
            SPAWN,
            &granted,
            &other,
            &address,
            &port,
            &STARTS.to_string(),
        ])
        .output()
        .unwrap();
    let arrived = stage.service.requests().unwrap().len() - before;
    assert_eq!(
        (String::from_utf8_lossy(&output.stdout).trim(), arrived),
        (format!("{STARTS} 0").as_str(), STARTS),
        "{output:?} {}",
        stage.lanyard.daemon_log()
    );
}

/// A socket that was led to a granted destination, then disconnected and made to listen.
#[test]
fn a_granted_socket_that_is_made_to_listen_lets_nobody_in() {
    const LISTEN: &str = r#"
import ctypes, socket, sys
target = (sys.argv[1], int(sys.argv[2]))
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.connect(target)
assert ctypes.CDLL(None).connect(listener.fileno(), bytes(16), 16) == 0
listener.bind(("0.0.0.0", 0))
listener.listen()
listener.settimeout(float(sys.argv[3]))
print(listener.getsockname()[1], flush=True)
try:
    connection, _ = listener.accept()
    connection.sendall(b"from the scope")
    print("accepted", flush=True)
except TimeoutError:
    print("nobody came in", flush=True)
"#;
    fn played(mut command: Command, host: &str) -> (String, bool) {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let port: u16 = said.next().unwrap().unwrap().parse().unwrap();
        let address = format!("{host}:{port}").parse().unwrap();
        let came_in = TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok();
        let last = said.next().unwrap().unwrap();
        process.wait().unwrap();
        (last, came_in)
    }
    let stage = Stage::set().unwrap();
    let (address, port) = (
        stage.lab.address(),
        lanyard_e2e::service::PLAIN_PORT.to_string(),
    );
    let arguments = ["-c", LISTEN, address.as_str(), port.as_str(), "4"];
    let (inside, came_in) = played(stage.python(&arguments), "127.0.0.1");
    assert_eq!((inside.as_str(), came_in), ("nobody came in", false));
    let mut unfenced = Command::new(&stage.python);
    unfenced.args(arguments);
    let (outside, came_in) = played(unfenced, "127.0.0.1");
    assert_eq!(
        (outside.as_str(), came_in),
        ("accepted", true),
        "outside it works, so that the refusal means something"
    );
}

/// Every kind of socket that could carry bytes past TCP's rules.
#[test]
fn other_ways_out_are_closed_inside_a_scope_and_open_outside() {
    const TRIES: &str = r#"
import socket, sys
address = (sys.argv[1], int(sys.argv[2]))
def tried(name, attempt):
    try:
        attempt()
        print(name, "open", flush=True)
    except OSError as error:
        print(name, "closed", error.errno, flush=True)
def datagram(family, kind, protocol):
    socket.socket(family, kind, protocol).sendto(b"x" * 8, address)
def stream(protocol):
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol).close()
tried("udp", lambda: datagram(socket.AF_INET, socket.SOCK_DGRAM, 0))
tried("udplite", lambda: datagram(socket.AF_INET, socket.SOCK_DGRAM, 136))
tried("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 253).close())
tried("mptcp", lambda: stream(262))
tried("tcp", lambda: stream(0))
"#;
    let stage = Stage::set().unwrap();
    let (address, port) = (
        stage.lab.address(),
        lanyard_e2e::service::PEER_PORT.to_string(),
    );
    let arguments = ["-c", TRIES, address.as_str(), port.as_str()];
    let inside = stage.python(&arguments).output().unwrap();
    let inside = String::from_utf8_lossy(&inside.stdout).into_owned();
    let outside = std::process::Command::new(&stage.python)
        .args(arguments)
        .output()
        .unwrap();
    let outside = String::from_utf8_lossy(&outside.stdout).into_owned();
    for way in ["udp", "udplite", "raw", "mptcp"] {
        assert!(
            inside.contains(&format!("{way} closed")),
            "{way} is open inside: {inside}"
        );
        assert!(
            outside.contains(&format!("{way} open")),
            "{way} is closed outside too, which proves nothing: {outside}"
        );
    }
    assert!(inside.contains("tcp open"), "{inside}");
}

/// A grant for a network opens its addresses at its port, and no other.
#[test]
fn a_grant_for_a_network_opens_what_lies_in_it_and_nothing_else() {
    let stage = Stage::set().unwrap();
    let network = format!("{}/30", stage.lab.address().replace(".2", ".0"));
    let grant = DirectGrant {
        name: "network",
        agent: "bot",
        requires: "Image",
        host: &network,
        port: service::PEER_PORT,
        protocol: "TCP",
        duration: "1h",
    };
    let reached = |port: u16| {
        const CONNECT: &str = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=15)";
        let port = port.to_string();
        let output = stage
            .python(&["-c", CONNECT, &stage.lab.address(), &port])
            .output()
            .unwrap();
        output.status.success()
    };
    assert!(!reached(service::PEER_PORT), "nothing grants it yet");
    stage
        .lab
        .write("manifests/network.yaml", grant.yaml())
        .unwrap();
    stage.lanyard.until_live("default/network").unwrap();
    assert!(
        reached(service::PEER_PORT),
        "{}",
        stage.lanyard.daemon_log()
    );
    assert!(!reached(service::TLS_PORT), "another port");
}

/// What else a program could use to get out: a cgroup that it may move itself into, another namespace, a
/// process that it may change.
#[test]
fn a_scope_cannot_be_left() {
    const LEAVE: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, done):
    print(name, "done" if done else "refused", flush=True)
def moved(path):
    try:
        open(os.path.join(path, "cgroup.procs"), "w").write(str(os.getpid()))
        return True
    except OSError:
        return False
NEWUSER, NEWNS, NEWNET = 0x10000000, 0x20000, 0x40000000
tried("cgroup", moved(sys.argv[1]))
tried("user namespace", libc.unshare(NEWUSER) == 0)
tried("mount namespace", libc.unshare(NEWUSER | NEWNS) == 0)
tried("network namespace", libc.unshare(NEWUSER | NEWNET) == 0)
tried("trace", libc.ptrace(16, int(sys.argv[2]), 0, 0) == 0)
tried("io_uring", libc.syscall(425, 8, bytes(120)) >= 0)
"#;
    let stage = Stage::set().unwrap();
    let other = stage
        .lanyard
        .run(Some("nobody"), &["true"])
        .output()
        .unwrap();
    assert!(other.status.success(), "{other:?}");
    let mut sleeper = Command::new("setpriv")
        .args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"])
        .args(["sleep", "60"])
        .spawn()
        .unwrap();
    let cgroup = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .into_iter()
        .find(|root| std::path::Path::new(root).join("cgroup.procs").exists())
        .unwrap();
    let pid = sleeper.id().to_string();
    let python = stage.python.display().to_string();
    let command = [python.as_str(), "-c", LEAVE, cgroup, &pid];
    let output = stage
        .lanyard
        .run(Some("nobody"), &command)
        .output()
        .unwrap();
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.lines().count(), 6, "{output:?}");
    assert!(said.lines().all(|line| line.ends_with("refused")), "{said}");
}

/// A socket that was connected before its process was in a scope would carry no tag: it stays outside.
#[test]
fn a_connection_made_outside_is_not_brought_into_a_scope() {
    const LAUNCH: &str = r#"
import os, socket, sys
address, port, kind, keep, *command = sys.argv[1:]
s = socket.socket(type=getattr(socket, kind))
s.connect((address, int(port)))
s.set_inheritable(keep == "kept")
os.execvp(command[0], command)
"#;
    let stage = Stage::set().unwrap();
    let launched = |kind: &str, keep: &str| {
        let agent = stage.python(&["-c", "print('started')"]);
        let mut command = Command::new(&stage.python);
        command.args(["-c", LAUNCH, &stage.lab.address()]);
        command.args([&service::PLAIN_PORT.to_string(), kind, keep]);
        command.arg(agent.get_program()).args(agent.get_args());
        command.env_remove("LD_LIBRARY_PATH");
        command.current_dir(agent.get_current_dir().unwrap());
        let output = command.output().unwrap();
        (
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for kind in ["SOCK_STREAM", "SOCK_DGRAM"] {
        let (said, error) = launched(kind, "kept");
        assert_eq!(said, "", "{kind}");
        assert!(error.contains("is a network socket"), "{error}");
        assert!(error.contains("3>&-"), "{error}");
        let (said, error) = launched(kind, "closed");
        assert_eq!(said, "started", "{kind}: {error}");
    }
}
