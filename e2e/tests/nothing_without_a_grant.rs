//! Promise 2: nothing is reachable without a live grant, from the first instruction on.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use lanyard_e2e::scenes::{Stage, refused};

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
