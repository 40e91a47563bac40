//! Clients as everybody has them call a service by its name with a token they never had: what is granted works,
//! what is not is refused with a reason, and the token is nowhere in them.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use lanyard_e2e::{
    agent, client,
    forms::Forms,
    grant::NamedGrant,
    lab, memory, peers,
    scenes::{Stage, TOKEN, TOOLS, USER},
    service,
};
use serde_json::Value;

/// The agent is whatever runs in its scope, and may read orders.
fn stage() -> Stage {
    let stage = Stage::with_tools().unwrap();
    let rules = ["/", "/echo", "/large", "/orders/**"]
        .map(|path| format!("  - {{ methods: [GET], path: {path} }}"));
    let grant = NamedGrant {
        resource: [&["http:".to_owned()][..], &rules].concat(),
        ..stage.grant("tools-api")
    };
    stage.give(&grant).unwrap();
    stage
}

/// Runs a client that prints a line for each URL, and searches it before it ends.
fn ask(stage: &Stage, command: &[&str]) {
    let url = |path: &str| stage.url(path);
    let other = format!("https://{}/", service::OTHER_NAME);
    let plain = format!("http://{}/orders/8", service::NAME);
    let urls = [
        url("/"),
        url("/echo"),
        url("/orders/7"),
        plain,
        url("/admin"),
        url("/orders/%2e%2e/admin"),
        other,
    ];
    let command: Vec<&str> = command
        .iter()
        .copied()
        .chain(urls.iter().map(String::as_str))
        .collect();
    let mut process = stage.lanyard.run_as(TOOLS, Some(USER), &command);
    let project = stage.lanyard.project(Some(USER));
    let heard = client::run_without(&mut process, TOKEN, service::GREETING, &project);
    let heard = heard.unwrap_or_else(|error| panic!("{error:#}\n{}", stage.lanyard.daemon_log()));
    let (lines, said) = (heard.printed, heard.errors);
    let replies: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}\n{said}")))
        .collect();
    assert_eq!(
        replies.len(),
        urls.len(),
        "{lines}\n{said}\n{}",
        stage.lanyard.daemon_log()
    );
    let body = |number: usize| replies[number]["body"].as_str().unwrap_or_default();

    assert!(body(0).contains(service::GREETING), "{replies:?}\n{said}");
    assert!(body(1).starts_with("you sent Bearer ****"), "{replies:?}");
    assert_eq!(body(2), "order /orders/7\n");
    assert_eq!(
        body(3),
        "order /orders/8\n",
        "plain http:// is led to TLS: {replies:?}"
    );
    assert_eq!(replies[4]["status"], 403, "{replies:?}");
    let problem: Value = serde_json::from_str(body(4)).unwrap();
    assert_eq!(problem["reason"], "PathNotGranted", "{problem}");
    assert_eq!(problem["grant"], "default/tools-api", "{problem}");
    // Some clients resolve the dots themselves, and ask for what is not granted either.
    assert_eq!(replies[5]["status"], 403, "{replies:?}");
    assert!(replies[6]["error"].is_string(), "{replies:?}");
    let arrived = stage.service.requests().unwrap();
    assert!(
        arrived.iter().all(|line| line.contains(TOKEN)),
        "{arrived:?}"
    );
    assert!(
        !arrived.iter().any(|line| line.contains("/admin")),
        "{arrived:?}"
    );
}

/// Neither what a client received has the token, nor a file that it may write.
fn holds_nothing(stage: &Stage, received: &[u8]) {
    let token = Forms::of(TOKEN);
    let found = token.found_in(received);
    assert!(found.is_empty(), "the client received the token: {found:?}");
    let files = token.found_below(&stage.lanyard.project(Some(USER)));
    assert_eq!(files.unwrap(), [""; 0], "the client wrote the token");
}

/// A client that prints all it receives asks for what sends the token back, and is searched while it receives
/// something that takes long.
fn is_searched(stage: &Stage, command: &[&str]) {
    let (echo, large) = (stage.url("/echo"), stage.url("/large"));
    let command = [command, &[echo.as_str(), large.as_str()]].concat();
    let mut process = stage
        .lanyard
        .run_as(TOOLS, Some(USER), &command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap());
    let mut received = Vec::new();
    while !received.ends_with(b"xxx") {
        let piece = out.fill_buf().unwrap().to_vec();
        assert!(!piece.is_empty(), "{received:?}");
        out.consume(piece.len());
        received.extend(piece);
    }
    let found = memory::find(process.id(), &Forms::of(TOKEN));
    let control = memory::find(process.id(), &Forms::plain(service::NAME));
    process.kill().unwrap();
    let output = process.wait_with_output().unwrap();
    received.extend(output.stderr);
    let text = String::from_utf8_lossy(&received);
    let begin = &text[..text.len().min(4096)];
    assert!(text.contains("you sent Bearer ****"), "{begin}");
    assert_eq!(found.unwrap(), [""; 0], "the token is in the client");
    assert!(!control.unwrap().is_empty(), "the search finds nothing");
    holds_nothing(stage, &received);
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn python_client(library: &str) {
    let stage = stage();
    let python = text(&peers::python().unwrap());
    let script = stage
        .lab
        .write(
            "programs/clients.py",
            peers::file("python/clients.py").unwrap(),
        )
        .unwrap();
    ask(&stage, &[&python, &text(&script), library]);
}

#[test]
fn python_urllib() {
    python_client("urllib");
}

#[test]
fn python_requests() {
    python_client("requests");
}

#[test]
fn python_httpx_over_http2() {
    python_client("httpx");
}

#[test]
fn python_aiohttp() {
    python_client("aiohttp");
}

#[test]
fn node_fetch() {
    let stage = stage();
    let node = text(&agent::node().unwrap());
    let script = stage
        .lab
        .write("programs/fetch.mjs", peers::file("node/fetch.mjs").unwrap())
        .unwrap();
    ask(&stage, &[&node, &text(&script)]);
}

#[test]
fn go_net_http() {
    let stage = stage();
    ask(&stage, &[&text(&peers::go_client().unwrap())]);
}

#[test]
fn java_http_client() {
    let stage = stage();
    let classes = text(&peers::java_client().unwrap());
    ask(&stage, &["java", "-Xmx64m", "-cp", &classes, "Client"]);
}

/// Both speak each version of HTTP that the service does, and no other.
#[test]
fn curl_over_http1_and_http2() {
    let stage = stage();
    for (flag, spoken) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
        let run = |path: &str| {
            let url = stage.url(path);
            let command = [
                "curl",
                "-sS",
                flag,
                "-w",
                " %{http_code} %{http_version}",
                &url,
            ];
            let output = stage.lanyard.run_as(TOOLS, Some(USER), &command).output();
            String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
        };
        let version = spoken.trim_start_matches("HTTP/").trim_end_matches(".0");
        let granted = run("/orders/7");
        assert_eq!(granted, format!("order /orders/7\n 200 {version}"));
        assert!(run("/admin").contains("PathNotGranted"));
        let arrived = stage.service.requests().unwrap();
        assert!(arrived.last().unwrap().ends_with(spoken), "{arrived:?}");
        is_searched(&stage, &["curl", "-sS", "--include", "-N", flag]);
    }
}

/// wget of Debian is linked with `GnuTLS`, and reads no variable for its roots.
#[test]
fn wget() {
    let stage = stage();
    let run = |path: &str| {
        let url = stage.url(path);
        let command = ["wget", "-q", "-O", "-", "--content-on-error", &url];
        let output = stage.lanyard.run_as(TOOLS, Some(USER), &command).output();
        output.unwrap()
    };
    let granted = run("/orders/7");
    assert_eq!(granted.stdout, b"order /orders/7\n", "{granted:?}");
    let refused = run("/admin");
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(said.contains("PathNotGranted"), "{said}");
    is_searched(&stage, &["wget", "-q", "-S", "-O", "-"]);
}

/// A client that the variables of `lanyard run` do not reach finds all it needs with `lanyard trust`.
#[test]
fn what_a_scope_trusts_can_be_told_by_hand() {
    let stage = stage();
    let lanyard = stage.lab.path("bin/lanyard");
    let lanyard = stage
        .lab
        .copy_program(&lanyard, "programs/lanyard")
        .unwrap();
    let script = format!(
        "unset SSL_CERT_FILE CURL_CA_BUNDLE; {0} --node {1} --run-dir {2} trust --pem > bundle.pem && curl -sS --cacert bundle.pem {3}",
        lanyard.display(),
        stage.lab.node(),
        stage.lab.path("run").display(),
        stage.url("/")
    );
    let output = stage
        .lanyard
        .run_as(TOOLS, Some(USER), &["sh", "-c", &script])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(service::GREETING), "{output:?}");
    // Outside there is no scope whose root could be meant.
    let outside = stage.lanyard.command(&["trust"]).output().unwrap();
    assert_eq!(outside.status.code(), Some(1), "{outside:?}");
    lab::run(&mut stage.lanyard.command(&["status"])).unwrap();
}
