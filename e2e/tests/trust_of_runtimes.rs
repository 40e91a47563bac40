//! What `lanyard run` does for trust reaches every runtime by what it reads itself: each calls a granted service, keeps
//! a root that its user had set, and trusts nobody else.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::path::Path;

use lanyard_e2e::{
    agent,
    counterparts::{self, OF_OTHER_ROOT, OTHER_ROOT, Running},
    grant::{NamedGrant, whoever},
    peers,
    scenes::{Stage, TOOLS, USER},
    service::{NAME, OTHER_NAME},
};

/// A program that asks for each URL behind its arguments, and prints what came.
struct Runtime {
    name: &'static str,
    /// What its user had set, for a root of their own.
    own: &'static str,
    command: Vec<String>,
}

/// Asks through a tool that carries bytes: `$place` is the host, with the port if it is another, and `$to` has it always.
/// The tool ends with its server, and not with what it is given to say.
fn through(tool: &str) -> Vec<String> {
    let script = format!(
        r#"for url; do
rm -f asked; mkfifo asked; exec 3<>asked
rest=${{url#https://}}; place=${{rest%%/*}}; to=$place; case $to in *:*) ;; *) to=$to:443 ;; esac
{tool} <asked 2>&1 &
printf 'GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "${{rest#*/}}" "$place" >&3; wait $!
done"#
    );
    words(&["sh", "-c", &script, "sh"])
}

/// Each of them in its own way, and what its makers call the variable. Clients with built-in roots that read none
/// (`webpki-roots` in Rust) need the file that `LANYARD_TRUST_BUNDLE` names as an argument, and so do programs of
/// `GnuTLS`, which reads no variable: wget and git have settings of their own.
fn runtimes(stage: &Stage) -> Vec<Runtime> {
    let script = |name: &str| {
        let content = peers::file(name).unwrap();
        let path = stage.lab.write(&format!("programs/{name}"), content);
        text(&path.unwrap())
    };
    let lab_program = |path: &str, name: &str| {
        let path = stage
            .lab
            .copy_program(Path::new(path), &format!("programs/{name}"));
        text(&path.unwrap())
    };
    let python = text(&peers::python().unwrap());
    let clients = script("python/clients.py");
    let fetch = script("node/fetch.mjs");
    let php = script("php/fetch.php");
    let modules = peers::node_modules().unwrap();
    let module = |name: &str| text(&modules.join("node_modules/.bin").join(name));
    let node = text(&agent::node().unwrap());
    let rust = lab_program(env!("CARGO_BIN_EXE_native-roots"), "native-roots");
    let go = text(&peers::go_client().unwrap());
    let java = text(&peers::java_client().unwrap());
    let curl = r#"for url; do curl -sS "$url" 2>&1; done"#;
    let wget = r#"for url; do wget -nv -O - "$url" 2>&1; done"#;
    let openssl =
        "openssl s_client -quiet -verify_return_error -servername ${place%:*} -connect $to";
    let gnutls = r#"gnutls-cli --x509cafile "$LANYARD_TRUST_BUNDLE" -p ${to#*:} ${place%:*}"#;
    let runtime = |name, own, command: &[&str]| Runtime {
        name,
        own,
        command: words(command),
    };
    vec![
        runtime("curl", "CURL_CA_BUNDLE", &["sh", "-c", curl, "sh"]),
        runtime("wget", "SSL_CERT_FILE", &["sh", "-c", wget, "sh"]),
        Runtime {
            name: "OpenSSL",
            own: "SSL_CERT_FILE",
            command: through(openssl),
        },
        Runtime {
            name: "GnuTLS",
            own: "CURL_CA_BUNDLE",
            command: through(gnutls),
        },
        runtime(
            "Python urllib",
            "SSL_CERT_FILE",
            &[&python, &clients, "urllib"],
        ),
        runtime(
            "Python requests",
            "REQUESTS_CA_BUNDLE",
            &[&python, &clients, "requests"],
        ),
        runtime(
            "Python httpx",
            "SSL_CERT_FILE",
            &[&python, &clients, "httpx"],
        ),
        runtime(
            "Python aiohttp",
            "SSL_CERT_FILE",
            &[&python, &clients, "aiohttp"],
        ),
        runtime("AWS SDK", "AWS_CA_BUNDLE", &[&python, &clients, "boto3"]),
        runtime("Node.js", "NODE_EXTRA_CA_CERTS", &[&node, &fetch]),
        runtime(
            "Deno",
            "DENO_CERT",
            &[&module("deno"), "run", "--allow-net", &fetch],
        ),
        runtime("Bun", "NODE_EXTRA_CA_CERTS", &[&module("bun"), &fetch]),
        runtime("Go", "SSL_CERT_FILE", &[&go]),
        runtime(
            "Java",
            "SSL_CERT_FILE",
            &["java", "-Xmx64m", "-cp", &java, "Client"],
        ),
        runtime("Rust", "SSL_CERT_FILE", &[&rust]),
        runtime("Ruby", "SSL_CERT_FILE", &["ruby", &script("ruby/fetch.rb")]),
        runtime("PHP streams", "SSL_CERT_FILE", &["php", &php, "streams"]),
        runtime("PHP curl", "CURL_CA_BUNDLE", &["php", &php, "curl"]),
    ]
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Three services: one whose TLS Lanyard ends, one with a root that the user had set, one with a root that nobody of
/// the agent's knows. The last two are carried unread.
fn stage() -> (Stage, Running, String) {
    let stage = Stage::set().unwrap();
    let (server, root) = counterparts::other_root(&stage.lab).unwrap();
    let root = stage.lab.write("programs/own.pem", root).unwrap();
    let carried = |name, port| NamedGrant {
        name,
        agent: TOOLS,
        host: OTHER_NAME,
        port,
        protocol: "HTTPS",
        resource: vec!["tls: Passthrough".to_owned()],
        authority: None,
        credential: None,
        spec: Vec::new(),
    };
    let ended = NamedGrant {
        host: NAME,
        resource: Vec::new(),
        authority: Some(&stage.service.authority),
        credential: Some("token"),
        ..carried("ended", 443)
    };
    stage
        .lab
        .write("manifests/tools.yaml", whoever(TOOLS))
        .unwrap();
    for grant in [ended, carried("own", OTHER_ROOT), carried("unknown", 443)] {
        let file = format!("manifests/{}.yaml", grant.name);
        stage.lab.write(&file, grant.yaml()).unwrap();
        stage
            .lanyard
            .until_live(&format!("default/{}", grant.name))
            .unwrap();
    }
    (stage, server, text(&root))
}

fn said(stage: &Stage, own: (&str, &str), command: &[String], urls: &[String]) -> String {
    let command: Vec<&str> = command.iter().chain(urls).map(String::as_str).collect();
    let mut process = stage.lanyard.run_as(TOOLS, Some(USER), &command);
    process
        .env(own.0, own.1)
        .env("DENO_DIR", stage.lanyard.project(Some(USER)).join("deno"));
    let output = process.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn each_calls_what_is_granted_and_keeps_the_roots_of_its_user() {
    let (stage, _server, root) = stage();
    let granted = stage.url("/orders/7");
    let own = format!("https://{OTHER_NAME}:{OTHER_ROOT}/orders/7");
    let unknown = format!("https://{OTHER_NAME}/orders/7");
    // It answers whoever does not ask who it is.
    let careless = words(&["curl", "-sS", "--insecure"]);
    let reached = said(&stage, ("A", ""), &careless, std::slice::from_ref(&unknown));
    assert!(reached.contains("no token"), "{reached}");
    let urls = [granted, own, unknown];
    let mut failed = Vec::new();
    for runtime in runtimes(&stage) {
        let said = said(&stage, (runtime.own, &root), &runtime.command, &urls);
        let is_good = said.contains("order /orders/7")
            && said.contains(OF_OTHER_ROOT)
            && !said.contains("no token");
        if !is_good {
            failed.push(format!("{} said:\n{said}", runtime.name));
        }
    }
    assert!(
        failed.is_empty(),
        "{}\n{}",
        failed.join("\n"),
        stage.lanyard.daemon_log()
    );
    gnutls_is_told_by_hand(&stage, &urls[..1]);
    git_keeps_a_root(&stage, &root, &urls[1..]);
    java_trusts_the_scope_whatever_store_it_had(&stage, &urls[..1]);
}

/// Its programs read no variable.
fn gnutls_is_told_by_hand(stage: &Stage, urls: &[String]) {
    let alone = through("gnutls-cli -p ${to#*:} ${place%:*}");
    let refused = said(stage, ("A", ""), &alone, urls);
    assert!(refused.contains("NOT trusted"), "{refused}");
}

/// What it does with a granted service stands in another file.
fn git_keeps_a_root(stage: &Stage, root: &str, urls: &[String]) {
    let list = r#"for url; do git ls-remote "$url" 2>&1; done"#;
    let git = words(&["sh", "-c", list, "sh"]);
    let said = said(stage, ("GIT_SSL_CAINFO", root), &git, urls);
    assert!(said.contains(OF_OTHER_ROOT), "{said}");
    assert!(said.contains("certificate verification failed"), "{said}");
}

/// A store is no PEM, and is not read: its roots have to be in a variable that names PEM, too.
fn java_trusts_the_scope_whatever_store_it_had(stage: &Stage, urls: &[String]) {
    let classes = text(&peers::java_client().unwrap());
    let java = words(&["java", "-Xmx64m", "-cp", &classes, "Client"]);
    let own = "-Dof.the.user=1 -Djavax.net.ssl.trustStore=/no/such/store";
    let said = said(stage, ("JAVA_TOOL_OPTIONS", own), &java, urls);
    assert!(said.contains("order /orders/7"), "{said}");
    assert!(said.contains("-Dof.the.user=1"), "{said}");
}
