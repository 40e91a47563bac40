//! Promise 9 by the broker: it may be killed at any moment. What it carried is cut and never looks whole, the record
//! says so, and whoever runs goes on with the next broker.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use lanyard_e2e::{
    counterparts,
    dialogue::Dialogue,
    grant::{NamedGrant, whoever},
    scenes::{Stage, TOKEN, TOOLS, USER},
    service::NAME,
    wait,
};

fn grant<'a>(stage: &'a Stage, name: &'a str, port: u16, protocol: &'a str) -> NamedGrant<'a> {
    let is_https = protocol == "HTTPS";
    NamedGrant {
        name,
        agent: TOOLS,
        host: NAME,
        port,
        protocol,
        resource: Vec::new(),
        authority: is_https.then_some(&stage.service.authority),
        credential: is_https.then_some("token"),
        spec: Vec::new(),
    }
}

fn stage(grants: &[(&str, u16, &str)]) -> Stage {
    let stage = Stage::set().unwrap();
    stage
        .lab
        .write("manifests/tools.yaml", whoever(TOOLS))
        .unwrap();
    for (name, port, protocol) in grants {
        let yaml = grant(&stage, name, *port, protocol).yaml();
        let file = format!("manifests/{name}.yaml");
        stage.lab.write(&file, yaml).unwrap();
        stage
            .lanyard
            .until_live(&format!("default/{name}"))
            .unwrap();
    }
    stage
}

/// Asks over one connection that it keeps, and over a new one once that is gone; says what came.
const ASKING: &str = r#"
import http.client, ssl, sys
host, context = sys.argv[1], ssl.create_default_context()
connection = http.client.HTTPSConnection(host, timeout=20, context=context)
for line in sys.stdin:
    path = line.strip()
    for attempt in range(2):
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            length = len(reply.read())
            print(reply.status, length, flush=True)
            break
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            print("cut:", repr(error), file=sys.stderr, flush=True)
            if attempt:
                print("cut", flush=True)
"#;

/// Begins downloads in the ways in which a reply can say where it ends, and says what became of each.
const DOWNLOADS: &str = r#"
import socket, ssl, sys, threading
host = sys.argv[1]
context = ssl.create_default_context()
def plain(port):
    return socket.create_connection((host, port), timeout=60)
def tls(port):
    # By default Python takes any end of TLS for a good one.
    return context.wrap_socket(plain(port), server_hostname=host, suppress_ragged_eofs=False)
def request(version, port):
    return f"GET /large HTTP/{version}\r\nHost: {host}:{port}\r\n\r\n".encode()
kinds = {
    "counted": (lambda: tls(443), request("1.1", 443)),
    "closed": (lambda: tls(443), request("1.0", 443)),
    "clear": (lambda: plain(8080), request("1.0", 8080)),
    "joined": (lambda: plain(9091), b"anything"),
}
became = []
begun = threading.Barrier(len(kinds) + 1)
def download(name):
    connect, request = kinds[name]
    received = 0
    with connect() as connection:
        connection.sendall(request)
        received = len(connection.recv(1000))
        begun.wait()
        try:
            while data := connection.recv(65536):
                received += len(data)
            end = "looks whole"
        except OSError as error:
            end = "cut"
    became.append(f"{name} {end} {received > 0}")
threads = [threading.Thread(target=download, args=(name,)) for name in kinds]
for thread in threads:
    thread.start()
begun.wait()
print("begun", flush=True)
for thread in threads:
    thread.join()
print(", ".join(sorted(became)), flush=True)
"#;

/// Speaks without an end to whoever comes, and says how each of them ended.
const ENDLESS: &str = r#"
import socket, sys
listener = socket.create_server(("", 9091))
print("ready", flush=True)
while True:
    connection = listener.accept()[0]
    try:
        while True:
            connection.sendall(b"x" * 1000)
            connection.settimeout(0.05)
            try:
                if not connection.recv(65536):
                    print("looks whole", flush=True)
                    break
            except TimeoutError:
                pass
    except OSError as error:
        print("cut", flush=True)
"#;

/// Opens connections until none more can be, and says so.
const OPENING: &str = r#"
import socket, ssl, sys
host, context = sys.argv[1], ssl.create_default_context()
sys.stdin.readline()
open = []
try:
    for _ in range(1000):
        plain = socket.create_connection((host, 443), timeout=20)
        open.append(context.wrap_socket(plain, server_hostname=host))
    print("opened all", flush=True)
except OSError as error:
    print("cut", flush=True)
open.clear()
for line in sys.stdin:
    with socket.create_connection((host, 443), timeout=20) as plain:
        context.wrap_socket(plain, server_hostname=host)
    print("opened", flush=True)
"#;

fn python(stage: &Stage, script: &str) -> Dialogue {
    let python = stage.python.display().to_string();
    let command = [python.as_str(), "-c", script, NAME];
    let mut run = stage.lanyard.run_as(TOOLS, Some(USER), &command);
    Dialogue::start(&mut run).unwrap()
}

/// How many requests for `path` are recorded as begun.
fn begun(stage: &Stage, path: &str) -> usize {
    let records = stage.lanyard.records().unwrap().into_iter();
    let begun = records
        .filter(|record| record["event"] == "RequestIntended" && record["request"]["path"] == path);
    begun.count()
}

#[test]
fn what_a_killed_broker_carried_is_cut_and_recorded_and_the_client_goes_on() {
    let stage = stage(&[
        ("tools-api", 443, "HTTPS"),
        ("clear", 8080, "HTTP"),
        ("joined", 9091, "TCP"),
    ]);
    let mut service = stage.lab.on_host(&stage.python);
    let mut service = Dialogue::start(service.args(["-c", ENDLESS])).unwrap();
    assert_eq!(service.hear().unwrap(), "ready");
    let mut asking = python(&stage, ASKING);
    assert_eq!(asking.ask("/orders/1").unwrap(), "200 16");
    let mut downloads = python(&stage, DOWNLOADS);
    assert_eq!(
        downloads.hear().unwrap(),
        "begun",
        "{}",
        stage.lanyard.daemon_log()
    );
    assert_eq!(stage.lanyard.kill_brokers().unwrap(), 2);
    let became = downloads.hear().unwrap();
    let cut = ["clear", "closed", "counted", "joined"].map(|name| format!("{name} cut True"));
    assert_eq!(became, cut.join(", "), "{}", stage.lanyard.daemon_log());
    assert_eq!(service.hear().unwrap(), "cut", "what the service sees");
    // The same process, with the roots that it read when it began.
    for number in 2..5 {
        let path = format!("/orders/{number}");
        assert_eq!(
            asking.ask(&path).unwrap(),
            "200 16",
            "{}",
            stage.lanyard.daemon_log()
        );
        assert_eq!(begun(&stage, &path), 1);
    }
    assert!(asking.end().unwrap().success());
    let ended = stage.lanyard.until_all_ended().unwrap().into_iter();
    let broken = ended.filter(|end| end["outcome"] == "BrokerEnded");
    assert_eq!(broken.count(), 3);
    assert_eq!(begun(&stage, "/large"), 3);
}

/// The brokers end with their node agent; the next one finds what they left.
#[test]
fn what_was_open_when_everything_was_killed_has_its_end_in_the_record_too() {
    let mut stage = stage(&[("tools-api", 443, "HTTPS")]);
    let url = stage.url("/large");
    let download = stage
        .lanyard
        .run_as(TOOLS, Some(USER), &["curl", "-sS", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait::until("it is under way", Duration::from_secs(20), || {
        Ok((begun(&stage, "/large") == 1).then_some(()))
    })
    .unwrap();
    stage.lanyard.kill_everything().unwrap();
    let download = download.wait_with_output().unwrap();
    assert!(!download.status.success(), "{download:?}");
    stage.lanyard.start(&stage.lab).unwrap();
    assert_eq!(stage.lanyard.until_ended("/large").unwrap(), "BrokerEnded");
    let again = ["curl", "-sS", &stage.url("/orders/1")];
    let again = stage.lanyard.run_as(TOOLS, Some(USER), &again).output();
    assert_eq!(again.unwrap().stdout, b"order /orders/1\n");
    assert_eq!(stage.lanyard.until_ended("/orders/1").unwrap(), "Completed");
}

/// Over HTTP/2, over a tunnel, and in the middle of an upload.
#[test]
fn streams_tunnels_and_uploads_are_cut_too() {
    let stage = stage(&[
        ("tools-api", 443, "HTTPS"),
        ("chat", 8444, "HTTPS"),
        ("bodies", 8445, "HTTPS"),
    ]);
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    let url = stage.url("/large");
    let curl = ["curl", "-sS", "--http2", &url];
    let download = stage
        .lanyard
        .run_as(TOOLS, Some(USER), &curl)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let upload = [
        "curl",
        "-sS",
        "-X",
        "POST",
        "-T",
        "-",
        &format!("https://{NAME}:8445/swallow"),
    ];
    let mut upload = stage
        .lanyard
        .run_as(TOOLS, Some(USER), &upload)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut open = upload.stdin.take().unwrap();
    std::io::Write::write_all(&mut open, &vec![b'x'; 100_000]).unwrap();
    let mut tunnel = Dialogue::with_peer(&stage, TOOLS, "tunnels.py", &[NAME]).unwrap();
    assert_eq!(tunnel.ask("open /chat").unwrap(), "open");
    assert_eq!(tunnel.ask("send /chat").unwrap(), "heard hello");
    wait::until("all are under way", Duration::from_secs(20), || {
        let begun = ["/large", "/swallow", "/chat"]
            .iter()
            .all(|path| begun(&stage, path) == 1);
        Ok(begun.then_some(()))
    })
    .unwrap();
    assert_eq!(stage.lanyard.kill_brokers().unwrap(), 3);
    assert_eq!(tunnel.ask("wait /chat").unwrap(), "cut");
    let download = download.wait_with_output().unwrap();
    assert!(
        !download.status.success() && download.stdout.len() < 32 << 20,
        "{download:?}"
    );
    drop(open);
    let upload = upload.wait_with_output().unwrap();
    assert!(
        !upload.status.success() && upload.stdout.is_empty(),
        "{upload:?}"
    );
    for path in ["/large", "/swallow", "/chat"] {
        let ended = stage.lanyard.until_ended(path).unwrap();
        assert_eq!(ended, "BrokerEnded", "{path}");
    }
}

/// Its own user may do that, and nobody else without a right that root lacks in a container.
fn lower_its_memory(broker: u32) {
    let status = fs::read_to_string(format!("/proc/{broker}/status")).unwrap();
    let id = |kind: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(kind));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    };
    let (user, group) = (id("Uid:"), id("Gid:"));
    let lowered = Command::new("setpriv")
        .args(["--reuid", &user, "--regid", &group, "--clear-groups"])
        .args(["prlimit", "--data=4194304:4194304", "--pid"])
        .arg(broker.to_string())
        .output()
        .unwrap();
    assert!(lowered.status.success(), "{lowered:?}");
}

/// What it may have in all is set when it is started; here it gets less, so that it need not be filled.
#[test]
fn a_broker_that_wants_more_memory_than_it_may_have_ends_alone() {
    let stage = stage(&[("tools-api", 443, "HTTPS")]);
    let mut opening = python(&stage, OPENING);
    let broker = stage.lanyard.only_broker().unwrap();
    let limits = fs::read_to_string(format!("/proc/{broker}/limits")).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max data"));
    assert!(!limit.unwrap().contains("unlimited"), "{limits}");
    let mut asking = python(&stage, ASKING);
    assert_eq!(asking.ask("/orders/1").unwrap(), "200 16");
    let [other] = stage.lanyard.brokers().unwrap()[..]
        .iter()
        .copied()
        .filter(|pid| *pid != broker)
        .collect::<Vec<_>>()[..]
    else {
        panic!("another scope has a broker of its own");
    };
    lower_its_memory(broker);
    assert_eq!(
        opening.ask("open").unwrap(),
        "cut",
        "{}",
        stage.lanyard.daemon_log()
    );
    let now = wait::until("another broker runs", Duration::from_secs(20), || {
        let brokers = stage.lanyard.brokers()?;
        Ok((brokers.len() == 2 && !brokers.contains(&broker)).then_some(brokers))
    });
    assert!(now.unwrap().contains(&other));
    assert_eq!(asking.ask("/orders/2").unwrap(), "200 16");
    assert_eq!(
        opening.ask("open").unwrap(),
        "opened",
        "{}",
        stage.lanyard.daemon_log()
    );
    assert!(asking.end().unwrap().success());
}
