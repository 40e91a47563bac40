//! What is not a simple request: gRPC, WebSocket, server-sent events, git, and protocols that are not read at all,
//! by the names of their services.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    fs,
    process::{Command, Output},
};

use lanyard_e2e::{
    client, counterparts,
    dialogue::Dialogue,
    forms::Forms,
    grant::{NamedGrant, credential, whoever},
    lab, peers,
    scenes::{LOGIN, Stage, TOKEN, TOOLS, USER},
    service::NAME,
};

const HTTPS: &str = "HTTPS";

fn stage() -> Stage {
    let stage = Stage::set().unwrap();
    stage
        .lab
        .write("manifests/tools.yaml", whoever(TOOLS))
        .unwrap();
    stage
}

/// A grant of the tools to a port of the service, by its name.
fn granted<'a>(stage: &'a Stage, name: &'a str, port: u16, protocol: &'a str) -> NamedGrant<'a> {
    let is_https = protocol == HTTPS;
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

fn write(stage: &Stage, grant: &NamedGrant<'_>) {
    let file = format!("manifests/{}.yaml", grant.name);
    stage.lab.write(&file, grant.yaml()).unwrap();
    let key = format!("default/{}", grant.name);
    stage.lanyard.until_live(&key).unwrap();
}

fn run(stage: &Stage, command: &[&str]) -> Output {
    stage
        .lanyard
        .run_as(TOOLS, Some(USER), command)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What one of Python's clients says of a service in Python.
fn speak(stage: &Stage, protocol: &str) -> String {
    let python = peers::python().unwrap().display().to_string();
    let script = peers::file("python/speak.py").unwrap();
    let script = stage.lab.write("programs/speak.py", script).unwrap();
    let script = script.display().to_string();
    let command = [&python, &script, protocol, NAME];
    let mut process = stage.lanyard.run_as(TOOLS, Some(USER), &command);
    let project = stage.lanyard.project(Some(USER));
    let heard = client::run_without(&mut process, TOKEN, "****", &project);
    let heard = heard.unwrap_or_else(|error| panic!("{error:#}\n{}", stage.lanyard.daemon_log()));
    heard.printed + &heard.errors
}

/// Neither what a client printed has the token, nor a file that it may write.
fn holds_nothing(stage: &Stage, text: &str) {
    let token = Forms::of(TOKEN);
    let found = token.found_in(text.as_bytes());
    assert!(found.is_empty(), "{found:?}: {text}");
    let files = token.found_below(&stage.lanyard.project(Some(USER)));
    assert_eq!(files.unwrap(), [""; 0], "the client wrote the token");
}

#[test]
fn grpc_with_its_four_kinds_of_calls_and_trailers() {
    let stage = stage();
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    let mut grant = granted(&stage, "grpc", 8443, HTTPS);
    grant.resource = vec!["http:".into(), "  - path: /lab.Echo/**".into()];
    write(&stage, &grant);
    let text = speak(&stage, "grpc");
    let masked = format!("Bearer {}", "*".repeat(TOKEN.len()));
    for line in [
        format!("one one hello {masked} {masked}"),
        "many 1000 many 999".to_owned(),
        "sum 300000".to_owned(),
        "talk heard a,heard b,heard c".to_owned(),
    ] {
        assert!(
            text.contains(&line),
            "{line}:\n{text}\n{}",
            stage.lanyard.daemon_log()
        );
    }
    assert!(text.contains("refused PERMISSION_DENIED"), "{text}");
}

#[test]
fn websocket_messages_both_ways() {
    let stage = stage();
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    let mut grant = granted(&stage, "chat", 8444, HTTPS);
    grant.resource = vec!["http:".into(), "  - path: /chat".into()];
    write(&stage, &grant);
    let text = speak(&stage, "websocket");
    assert!(text.contains("heard 5 hello"), "{text}");
    assert!(text.contains("heard 100000 xxx"), "{text}");
    let masked = format!("raw Bearer {} base64 ", "*".repeat(TOKEN.len()));
    assert!(text.contains(&masked), "{text}");
    assert!(text.contains("refused") && text.contains("403"), "{text}");
}

/// Each event arrives when it is sent, and not with the next one.
#[test]
fn server_sent_events_arrive_one_by_one() {
    let stage = stage();
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    write(&stage, &granted(&stage, "events", 8445, HTTPS));
    let text = speak(&stage, "events");
    let times: Vec<f64> = text
        .lines()
        .filter(|line| line.contains("data: Bearer ****"))
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(times.len(), 5, "{text}");
    // They are sent 0.3 s apart: what came before the last but one was sent was carried by itself.
    assert!(times[4] - times[0] > 0.6, "they came together: {text}");
}

/// In every form that the scrubber promises to find, each cut at every byte.
#[test]
fn the_token_is_masked_in_every_form_across_the_borders_of_pieces() {
    let stage = stage();
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    write(&stage, &granted(&stage, "forms", 8445, HTTPS));
    let url = format!("https://{NAME}:8445/forms");
    let output = run(&stage, &["curl", "-sS", "--include", &url]);
    let text = said(&output);
    assert!(text.contains("HTTP/1.1 200"), "{text}");
    let masked = "*".repeat(TOKEN.len());
    assert!(
        text.contains(&format!("{masked} Bearer {masked} ")),
        "{text}"
    );
    holds_nothing(&stage, &text);
}

/// git's first request carries no credential even when it has one: the broker puts it in all the same.
#[test]
fn git_clones_and_pushes_with_a_password_it_never_had() {
    let stage = stage();
    let _servers = counterparts::git(&stage.lab, LOGIN, TOKEN).unwrap();
    let login = credential(
        "login",
        &["type: Basic", "basic:", "  name: login"],
        &["type: Basic"],
        &[NAME],
    );
    stage.lab.write("manifests/login.yaml", login).unwrap();
    // Over the name that another grant has opened already: what is refused is the port.
    write(&stage, &granted(&stage, "beside", 443, HTTPS));
    let url = format!("https://{NAME}:{}", counterparts::GIT);
    let refused = run(&stage, &["git", "ls-remote", &format!("{url}/repo.git")]);
    assert!(!refused.status.success(), "{}", said(&refused));
    let explained = stage.lanyard.explain_last("8446").unwrap();
    assert!(explained.contains(NAME), "{explained}");
    let mut grant = granted(&stage, "git", counterparts::GIT, HTTPS);
    grant.credential = Some("login");
    grant.resource = vec!["http:".into(), "  - path: /repo.git/**".into()];
    write(&stage, &grant);
    let script = format!(
        "set -e; rm -rf tree again; git clone -q {url}/repo.git tree; cd tree
         git config user.name agent; git config user.email agent@example.com
         echo one > file; head -c 3000000 /dev/urandom > large; git add .; git commit -qm first
         git push -q origin HEAD:main; cd ..; git clone -q -b main {url}/repo.git again; cat again/file
         git ls-remote {url}/other.git 2>&1 || echo refused"
    );
    let output = run(&stage, &["sh", "-c", &script]);
    let text = said(&output);
    assert!(
        output.status.success() && text.contains("one\n"),
        "{text}\n{}",
        stage.lanyard.daemon_log()
    );
    assert!(text.contains("403") && text.contains("refused"), "{text}");
    holds_nothing(&stage, &text);
}

#[test]
fn postgres_is_reached_by_its_name_and_ends_with_its_grant() {
    let stage = stage();
    let _server = counterparts::postgres(&stage.lab).unwrap();
    let url = format!(
        "postgresql://postgres:{}@{NAME}:{}/postgres",
        counterparts::PASSWORD,
        counterparts::POSTGRES
    );
    let query = ["psql", "-tA", &url, "-c", "select 6 * 7"];
    // Over the name that another grant has opened already: what is refused is the port.
    write(&stage, &granted(&stage, "beside", 443, HTTPS));
    let refused = run(&stage, &query);
    assert!(!refused.status.success(), "{refused:?}");
    let explained = stage.lanyard.explain_last("5432").unwrap();
    assert!(explained.contains(NAME), "{explained}");
    write(
        &stage,
        &granted(&stage, "database", counterparts::POSTGRES, "TCP"),
    );
    let output = run(&stage, &query);
    assert_eq!(
        output.stdout,
        b"42\n",
        "{}\n{}",
        said(&output),
        stage.lanyard.daemon_log()
    );
    let records = stage.lanyard.records().unwrap();
    let is_connection = |record: &&serde_json::Value| {
        record["event"] == "ConnectionAllowed" || record.to_string().contains("default/database")
    };
    assert!(
        records
            .iter()
            .any(|record| is_connection(&record) && record.to_string().contains(NAME)),
        "{records:?}"
    );
    // What is open ends when it is revoked.
    let sleeping = [
        "psql",
        "-tA",
        &url,
        "-c",
        "select 'begun'",
        "-c",
        "select pg_sleep(600)",
    ];
    let mut process = stage
        .lanyard
        .run_as(TOOLS, Some(USER), &sleeping)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(process.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "begun\n");
    stage.lanyard.revoke("database").unwrap();
    assert!(!process.wait().unwrap().success());
}

/// Its very port, over the name that another grant has opened already: what is refused is the port.
#[test]
fn redis_is_reached_by_its_name_once_it_is_granted() {
    let stage = stage();
    let _server = counterparts::redis(&stage.lab).unwrap();
    write(&stage, &granted(&stage, "beside", 443, HTTPS));
    let ping = ["redis-cli", "-h", NAME, "ping"];
    let refused = run(&stage, &ping);
    assert!(!refused.status.success(), "{}", said(&refused));
    let explained = stage.lanyard.explain_last("6379").unwrap();
    assert!(explained.contains(NAME), "{explained}");
    write(
        &stage,
        &granted(&stage, "cache", counterparts::REDIS, "TCP"),
    );
    let output = run(&stage, &ping);
    assert_eq!(output.stdout, b"PONG\n", "{}", said(&output));
    let output = run(&stage, &["redis-cli", "-h", NAME, "set", "a", "b"]);
    assert_eq!(output.stdout, b"OK\n", "{}", said(&output));
}

/// The client asks its resolver, and not the machine's; the server is known by its own key, which nobody stands before.
#[test]
fn ssh_is_reached_by_its_name_and_ends_with_its_grant() {
    let stage = stage();
    let (_server, key) = counterparts::ssh(&stage.lab).unwrap();
    let folder = stage.lanyard.project(Some(USER));
    // ssh takes no key that others may read.
    let mut install = Command::new("install");
    install
        .args(["-m", "600", "-o", USER])
        .arg(&key)
        .arg(key.with_file_name("known_hosts"))
        .arg(&folder);
    lab::run(&mut install).unwrap();
    let (own, known) = (folder.join("user"), folder.join("known_hosts"));
    let options = format!(
        "ssh -o BatchMode=yes -o ConnectTimeout=15 -o StrictHostKeyChecking=yes -o UserKnownHostsFile={} -i {} root@{NAME}",
        known.display(),
        own.display()
    );
    let ssh: Vec<&str> = options.split(' ').collect();
    write(&stage, &granted(&stage, "beside", 443, HTTPS));
    let refused = run(&stage, &[&ssh[..], &["true"]].concat());
    assert!(!refused.status.success(), "{}", said(&refused));
    let explained = stage.lanyard.explain_last("port 22:").unwrap();
    assert!(explained.contains(NAME), "{explained}");
    write(&stage, &granted(&stage, "shell", counterparts::SSH, "TCP"));
    let there = run(
        &stage,
        &[
            &ssh[..],
            &["echo from $SSH_CONNECTION; head -c 3000000 /dev/zero"],
        ]
        .concat(),
    );
    let log = fs::read_to_string(stage.lab.path("ssh/sshd.log"));
    let text = String::from_utf8_lossy(&there.stdout[..there.stdout.len().min(200)]);
    assert!(
        there.status.success() && text.contains(&format!("{} 22\n", stage.lab.address())),
        "{text}{} {log:?}",
        String::from_utf8_lossy(&there.stderr)
    );
    assert!(there.stdout.len() > 3_000_000);
    // What is open ends when it is revoked.
    let mut session = stage.lanyard.run_as(
        TOOLS,
        Some(USER),
        &[&ssh[..], &["echo begun; exec sleep 600"]].concat(),
    );
    let mut session = Dialogue::start(&mut session).unwrap();
    assert_eq!(session.hear().unwrap(), "begun");
    stage.lanyard.revoke("shell").unwrap();
    assert!(!session.end().unwrap().success());
}

/// The client sees the service's own certificate, and the broker nothing but the name.
#[test]
fn tls_is_carried_as_it_is_where_a_grant_says_so_and_for_that_name_alone() {
    let stage = stage();
    let mut grant = granted(&stage, "pinned", 443, HTTPS);
    (grant.authority, grant.credential) = (None, None);
    grant.resource = vec!["tls: Passthrough".into()];
    write(&stage, &grant);
    let authority = stage
        .lab
        .write("authority.pem", &stage.service.authority)
        .unwrap();
    let authority = stage
        .lab
        .copy_program(&authority, "programs/authority.pem")
        .unwrap();
    let authority = authority.display().to_string();
    let own = format!("Authorization: Bearer {TOKEN}");
    let url = stage.url("/");
    let pinned = run(
        &stage,
        &["curl", "-sS", "--cacert", &authority, "-H", &own, &url],
    );
    assert!(
        said(&pinned).contains("hello, authorised caller"),
        "{}",
        said(&pinned)
    );
    // Nothing is put in, and nothing of the broker's own is trusted by such a client.
    let without = run(&stage, &["curl", "-sS", "--cacert", &authority, &url]);
    assert!(said(&without).contains("no token"), "{}", said(&without));
    // Another name over the same address is refused before a byte of it is carried.
    let other = [
        "curl",
        "-sS",
        "--cacert",
        &authority,
        "--connect-to",
        &format!("other.demo.test:443:{NAME}:443"),
        "https://other.demo.test/",
    ];
    let fronted = run(&stage, &other);
    assert!(!fronted.status.success(), "{}", said(&fronted));
    let explained = stage.lanyard.explain_last("another host").unwrap();
    assert!(explained.contains(NAME), "{explained}");
}

/// `HTTP` is for services without TLS; requests are decided all the same.
#[test]
fn http_in_the_clear_is_decided_request_by_request() {
    let stage = stage();
    let mut grant = granted(&stage, "clear", 8080, "HTTP");
    grant.resource = vec!["http:".into(), "  - { methods: [GET], path: / }".into()];
    write(&stage, &grant);
    let url = |path: &str| format!("http://{NAME}:8080{path}");
    let output = run(&stage, &["curl", "-sS", &url("/")]);
    assert!(
        said(&output).contains("hello, authorised caller"),
        "{}",
        said(&output)
    );
    let refused = run(&stage, &["curl", "-sS", &url("/large")]);
    assert!(
        said(&refused).contains("PathNotGranted"),
        "{}",
        said(&refused)
    );
    let posted = run(&stage, &["curl", "-sS", "-d", "x=1", &url("/")]);
    assert!(
        said(&posted).contains("MethodNotGranted"),
        "{}",
        said(&posted)
    );
}
