//! Promise 1: an agent is the process that runs, not an account or a name.

use lanyard_e2e::{
    agent,
    manifest::{DirectGrant, Identity},
    scenes::{Stage, USER, coding_agent, entered, granted, lowered, refused},
    service,
};

#[test]
fn the_listed_program_is_the_agent_and_one_changed_byte_ends_that() {
    let stage = Stage::set().unwrap();
    granted::curl_gets_through(&stage).unwrap();
    refused::changed_program_is_refused(&stage).unwrap();
}

/// Another program in the same scope, started by the agent itself, is not the agent.
#[test]
fn a_program_that_the_agent_starts_has_no_access_of_its_own() {
    const SCRIPT: &str = r#"
import subprocess, sys, urllib.request
print("python:", urllib.request.urlopen(sys.argv[1]).status, flush=True)
child = subprocess.run(["/usr/bin/curl", "--silent", "--max-time", "15", sys.argv[1]], capture_output=True)
print("child:", child.returncode, len(child.stdout), flush=True)
"#;
    let stage = Stage::set().unwrap();
    let output = stage
        .python(&["-c", SCRIPT, &stage.url("/")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("python: 200"),
        "the agent itself is refused: {said}{output:?}"
    );
    let child = said
        .lines()
        .find(|line| line.starts_with("child:"))
        .unwrap();
    assert!(
        child.ends_with(" 0") && !child.starts_with("child: 0"),
        "the child got through: {child}"
    );
    stage
        .lanyard
        .explain_last("lists no file at that path")
        .unwrap();
}

/// The very program that is listed, put into the scope from outside, is not the agent.
#[test]
fn a_process_that_enters_the_scope_from_outside_has_no_identity() {
    let stage = Stage::set().unwrap();
    entered::program_from_outside_is_refused(&stage).unwrap();
}

#[test]
fn a_listed_program_with_a_preloaded_library_is_known_less_well() {
    let stage = Stage::set().unwrap();
    lowered::preloaded_library_lowers_the_level(&stage).unwrap();
}

#[test]
fn a_listed_script_counts_only_where_the_agent_cannot_change_it() {
    let stage = Stage::set().unwrap();
    lowered::swapped_script_lowers_the_level(&stage).unwrap();
}

#[test]
fn a_coding_agents_whole_tree_works_under_inherit_and_not_without() {
    let stage = Stage::set().unwrap();
    coding_agent::whole_tree_works(&stage).unwrap();
}

/// With `Listed` the tools that are listed have their grants, and what the agent makes itself has none.
#[test]
fn a_listed_identity_gives_only_the_listed_tools_their_grants() {
    const WORK: &str = r"
import shutil, subprocess, sys
listed, own, address, port = sys.argv[1:]
shutil.copy(listed, own)
for program in listed, own:
    done = subprocess.run([program, address, port], capture_output=True, text=True)
    print(done.returncode, done.stdout.strip()[-24:] or done.stderr.strip(), flush=True)
";
    let stage = Stage::set().unwrap();
    let dial = agent::dial(&stage.lab, "dial").unwrap();
    let identity = Identity::named("coder")
        .program("python", &stage.python, "Listed")
        .unwrap()
        .program("dial", &dial, "None")
        .unwrap();
    stage
        .lab
        .write("manifests/coder.yaml", identity.yaml())
        .unwrap();
    let grant = DirectGrant {
        name: "coder-plain",
        agent: "coder",
        requires: "Lineage",
        host: &stage.lab.address(),
        port: service::PLAIN_PORT,
        protocol: "TCP",
        duration: "1h",
    };
    stage
        .lab
        .write("manifests/coder-plain.yaml", grant.yaml())
        .unwrap();
    stage.lanyard.until_live("default/coder-plain").unwrap();
    let own = stage.lanyard.project(Some(USER)).join("own");
    let arguments = [
        stage.python.display().to_string(),
        "-c".to_owned(),
        WORK.to_owned(),
        dial.display().to_string(),
        own.display().to_string(),
        stage.lab.address(),
        service::PLAIN_PORT.to_string(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = stage.lanyard.run_as("coder", Some(USER), &arguments);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines.first(),
        Some(&format!("0 {}", service::GREETING).as_str()),
        "{output:?} {}",
        stage.lanyard.daemon_log()
    );
    assert!(lines[1].starts_with("1 "), "{said}");
}

/// Two agents of one user at once: each is its own, and has its own grants.
#[test]
fn two_agents_have_two_identities_and_each_its_own_grants() {
    let stage = Stage::set().unwrap();
    let identity = Identity::named("other")
        .program("curl", &stage.curl, "None")
        .unwrap();
    stage
        .lab
        .write("manifests/other.yaml", identity.yaml())
        .unwrap();
    let grant = DirectGrant {
        name: "other-tls",
        agent: "other",
        requires: "Image",
        host: &stage.lab.address(),
        port: service::TLS_PORT,
        protocol: "TCP",
        duration: "1h",
    };
    stage
        .lab
        .write("manifests/other-tls.yaml", grant.yaml())
        .unwrap();
    stage.lanyard.until_live("default/other-tls").unwrap();
    let tls = format!("https://{}/", stage.lab.address());
    for (name, url, reached) in [
        ("bot", &stage.plain_url("/"), true),
        ("bot", &tls, false),
        ("other", &stage.plain_url("/"), false),
        ("other", &tls, true),
    ] {
        let curl = stage.curl.display().to_string();
        let command = [
            curl.as_str(),
            "--silent",
            "--insecure",
            "--max-time",
            "15",
            url,
        ];
        let mut command = stage.lanyard.run_as(name, Some(USER), &command);
        let output = command.output().unwrap();
        assert_eq!(
            output.status.success(),
            reached,
            "{name} {url}: {output:?} {}",
            stage.lanyard.daemon_log()
        );
    }
}

/// What a process says of itself in its arguments counts for nothing: they are read when it is executed.
#[test]
fn rewritten_arguments_do_not_make_another_script() {
    const PRETEND: &str = r#"
import ctypes, sys, urllib.request
script, url = sys.argv[1:3]
# Writes the listed script's path over the own arguments, as /proc/PID/cmdline shows them.
stack = open("/proc/self/stat").read().rsplit(")", 1)[1].split()
start, end = int(stack[45]), int(stack[46])
line = b"\0".join([sys.executable.encode(), script.encode()]) + b"\0"
ctypes.memmove(start, line[: end - start].ljust(end - start, b"\0"), end - start)
assert script in open("/proc/self/cmdline").read()
try:
    print(urllib.request.urlopen(url, timeout=15).status, flush=True)
except OSError as error:
    print("refused", flush=True)
"#;
    const HONEST: &str = "import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1], timeout=15).status, flush=True)\n";
    let stage = Stage::set().unwrap();
    let script = stage.lab.write("programs/honest.py", HONEST).unwrap();
    let pretend = stage.lab.write("programs/pretend.py", PRETEND).unwrap();
    let identity = Identity::named("scripted")
        .script("honest", &stage.python, &script)
        .unwrap();
    stage
        .lab
        .write("manifests/scripted.yaml", identity.yaml())
        .unwrap();
    let grant = DirectGrant {
        name: "scripted-plain",
        agent: "scripted",
        requires: "Image",
        host: &stage.lab.address(),
        port: service::PLAIN_PORT,
        protocol: "TCP",
        duration: "1h",
    };
    stage
        .lab
        .write("manifests/scripted-plain.yaml", grant.yaml())
        .unwrap();
    stage.lanyard.until_live("default/scripted-plain").unwrap();
    let (python, url) = (stage.python.display().to_string(), stage.plain_url("/"));
    let (script, pretend) = (script.display().to_string(), pretend.display().to_string());
    let said = |command: &[&str]| {
        let mut command = stage.lanyard.run_as("scripted", Some(USER), command);
        let output = command.output().unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    assert_eq!(said(&[&python, &script, &url]), "200\n");
    assert_eq!(said(&[&python, &pretend, &script, &url]), "refused\n");
}

/// Who may run an agent is the machine's policy: root and those it names.
#[test]
fn a_user_whom_the_policy_does_not_name_cannot_run_the_agent() {
    let stage = Stage::set().unwrap();
    let curl = stage.curl.display().to_string();
    let output = stage
        .lanyard
        .run(Some("daemon"), &[&curl, &stage.url("/")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        said.contains("you may not run the agent default/bot"),
        "{said}"
    );
    assert!(
        stage
            .curl(&[&stage.url("/")])
            .output()
            .unwrap()
            .status
            .success(),
        "the named user is refused"
    );
}
