//! What is done under one grant has nothing to do with what is done under another: no credential, no connection to
//! a service and no session of TLS serves two grants, two credentials or two scopes.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Child, Stdio},
};

use lanyard_e2e::{
    grant::{NamedGrant, credential, whoever},
    ledger::{self, Arrived, Ledger},
    scenes::{SECOND, SECOND_TOKEN, Stage, TOKEN, TOOLS, USER},
    service::NAME,
};

/// The second agent of these tests.
const OTHER: &str = "other";

/// Agents that are whoever runs in their scopes, and a second credential for the same host.
fn stage() -> (Stage, Ledger) {
    let stage = Stage::set().unwrap();
    let ledger = Ledger::open(&stage.lab).unwrap();
    for agent in [TOOLS, OTHER] {
        let file = format!("manifests/{agent}.yaml");
        stage.lab.write(&file, whoever(agent)).unwrap();
    }
    let second = credential("second", &SECOND, &["type: Bearer"], &[NAME]);
    stage.lab.write("manifests/second.yaml", second).unwrap();
    (stage, ledger)
}

/// Lets an agent ask for what is below `/NAME/`, with a credential.
fn grant(stage: &Stage, name: &str, agent: &str, credential: &str) {
    let grant = NamedGrant {
        agent,
        port: ledger::PORT,
        resource: vec!["http:".into(), format!("  - path: /{name}/**")],
        credential: Some(credential),
        ..stage.grant(name)
    };
    stage.give(&grant).unwrap();
}

/// curl in a scope of its own, which asks for `paths` over many connections at once, each time with a body, and says
/// what came. The service ends connections again and again while requests are on their way.
fn ask(stage: &Stage, agent: &str, sender: &str, version: &str, paths: &str) -> Child {
    let header = format!("{}: {sender}", ledger::SENDER);
    let url = format!("https://{NAME}:{}/{paths}", ledger::PORT);
    let command = [
        "curl",
        "-sS",
        version,
        "--parallel",
        "--parallel-max",
        "8",
        "-H",
        &header,
        "--data-raw",
        sender,
        &url,
    ];
    stage
        .lanyard
        .run_as(agent, Some(USER), &command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What each of them was answered, once each.
fn answers(stage: &Stage, asking: Child) -> BTreeSet<String> {
    let output = asking.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(
        lines.len(),
        text.lines().count(),
        "an answer came twice: {text}"
    );
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        stage.lanyard.daemon_log()
    );
    lines
}

fn assert_same(stage: &Stage, answers: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let difference: Vec<&String> = answers.symmetric_difference(expected).collect();
    let difference: Vec<&&String> = difference.iter().rev().take(6).collect();
    let log = stage.lanyard.daemon_log();
    assert!(difference.is_empty(), "{difference:?}\n{log}");
}

fn numbered(sender: &str, path: &str, count: usize) -> BTreeSet<String> {
    let answer = |number| format!("{sender} /{path}/{number}");
    (1..=count).map(answer).collect()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Both agents at once, over HTTP/1.1 and HTTP/2: the service compares who says to ask with the credential that
/// came with it, and each agent what it asked for with what it was answered.
#[test]
fn ten_thousand_requests_of_two_scopes_have_each_its_own_credential() {
    const EACH: usize = 2500;
    let (stage, ledger) = stage();
    grant(&stage, "alpha", TOOLS, "token");
    grant(&stage, "beta", OTHER, "second");
    let of = |name: &str, agent: &str, version: &str, sender: &str| {
        let paths = format!("{name}/[1-{EACH}]");
        (
            numbered(sender, name, EACH),
            ask(&stage, agent, sender, version, &paths),
        )
    };
    let asking = [
        of("alpha", TOOLS, "--http1.1", "alpha-1"),
        of("beta", OTHER, "--http1.1", "beta-1"),
        of("alpha", TOOLS, "--http2", "alpha-2"),
        of("beta", OTHER, "--http2", "beta-2"),
    ];
    for (expected, asking) in asking {
        let answers = answers(&stage, asking);
        assert_same(&stage, &answers, &expected);
    }
    let arrived = ledger.arrived().unwrap();
    assert_eq!(arrived.len(), 4 * EACH);
    let tokens = [("alpha", bearer(TOKEN)), ("beta", bearer(SECOND_TOKEN))];
    for (name, token) in tokens {
        let own: Vec<&Arrived> = arrived
            .iter()
            .filter(|request| request.sender.starts_with(name))
            .collect();
        let crossed = own.iter().find(|request| {
            request.authorization != token || !request.path.starts_with(&format!("/{name}/"))
        });
        assert_eq!((own.len(), crossed), (2 * EACH, None));
    }
    let versions: BTreeSet<&str> = arrived.iter().map(|one| one.version.as_str()).collect();
    assert_eq!(versions, BTreeSet::from(["HTTP/1.1", "HTTP/2.0"]));
}

/// Three grants of one agent for one host, two of them with the same credential, in four scopes: connections are
/// used again, and sessions of TLS resumed, within one grant of one scope and nowhere else.
#[test]
fn no_connection_and_no_session_serves_two_grants_or_two_scopes() {
    const EACH: usize = 400;
    const NAMES: [&str; 3] = ["first", "same", "second"];
    let (stage, ledger) = stage();
    grant(&stage, "first", TOOLS, "token");
    grant(&stage, "same", TOOLS, "token");
    grant(&stage, "second", TOOLS, "second");
    let scopes = [
        ("one-1", "--http1.1"),
        ("two-1", "--http1.1"),
        ("one-2", "--http2"),
        ("two-2", "--http2"),
    ];
    let paths = format!("{{{}}}/[1-{EACH}]", NAMES.join(","));
    let asking = scopes.map(|(sender, version)| {
        let asking = ask(&stage, TOOLS, sender, version, &paths);
        (sender, asking)
    });
    for (sender, asking) in asking {
        let of_each = NAMES.map(|name| numbered(sender, name, EACH));
        let expected = of_each.into_iter().flatten().collect();
        assert_same(&stage, &answers(&stage, asking), &expected);
    }
    let arrived = ledger.arrived().unwrap();
    assert_eq!(arrived.len(), scopes.len() * NAMES.len() * EACH);
    for request in &arrived {
        let is_second = request.path.starts_with("/second/");
        let token = if is_second { SECOND_TOKEN } else { TOKEN };
        assert_eq!(request.authorization, bearer(token), "{request:?}");
    }
    each_connection_has_one_use(&arrived);
    each_use_begins_a_session_of_its_own(&arrived, scopes.len() * NAMES.len());
}

/// The scope and the grant of a request.
fn purpose(request: &Arrived) -> (&str, &str) {
    let grant = request.path.split('/').nth(1).unwrap();
    (&request.sender, grant)
}

fn each_connection_has_one_use(arrived: &[Arrived]) {
    let mut uses: BTreeMap<u64, Vec<(&str, &str)>> = BTreeMap::new();
    for request in arrived {
        uses.entry(request.connection)
            .or_default()
            .push(purpose(request));
    }
    for (connection, uses) in &uses {
        let different: BTreeSet<_> = uses.iter().collect();
        assert_eq!(different.len(), 1, "connection {connection}");
    }
    assert!(
        uses.len() < arrived.len() / 2,
        "connections are not used again: {}",
        uses.len()
    );
}

fn each_use_begins_a_session_of_its_own(arrived: &[Arrived], count: usize) {
    let purposes: BTreeSet<_> = arrived.iter().map(purpose).collect();
    assert_eq!(purposes.len(), count);
    for one in purposes {
        let own = arrived.iter().filter(|request| purpose(request) == one);
        let own: BTreeMap<u64, bool> = own
            .map(|request| (request.connection, request.is_resumed))
            .collect();
        // Connections have numbers in the order in which they come.
        let (first, is_resumed) = own.first_key_value().unwrap();
        assert!(
            !is_resumed,
            "connection {first} of {one:?} resumed a session that is not its own"
        );
        assert!(
            own.values().any(|is_resumed| *is_resumed),
            "no connection of {one:?} resumed a session: {own:?}"
        );
    }
}
