//! `lanyard run`.

use std::{fs, os::unix::fs::MetadataExt};

use lanyard_protocol::control::{Admitted, Refused, Run, Variable, reply::Reply, request::Verb};
use rustix::{
    fd::AsFd,
    fs::{OFlags, fcntl_getfl, fstat},
};

use crate::fake::{Asked, FakeNodeAgent, lanyard, nobody, text, write_program};

fn admit(mut asked: Asked) -> Asked {
    asked.answer(Reply::Admitted(Admitted {
        scope: "1".into(),
        variables: vec![Variable {
            name: "SSL_CERT_FILE".into(),
            value: "/run/lanyard/bundle.pem".into(),
            own: 0,
        }],
        ..Admitted::default()
    }));
    asked
}

fn refuse(mut asked: Asked) {
    asked.answer(Reply::Refused(Refused {
        message: "uid 1000 may not use default/bot".into(),
        hint: "add the user to allowedUsers".into(),
    }));
}

fn requested(asked: &Asked) -> &Run {
    let Verb::Run(run) = &asked.verb else {
        panic!("{:?}", asked.verb)
    };
    run
}

#[test]
fn the_node_agent_is_shown_the_file_that_will_run() {
    let fake = FakeNodeAgent::start(admit);
    let (output, asked) = fake.when(&["run", "--as", "team/bot", "env", "--", "true", "x\ty"]);
    assert!(output.status.success(), "{output:?}");
    let run = requested(&asked);
    assert_eq!(run.agent, "team/bot");
    assert_eq!(run.path, "/usr/bin/env");
    assert_eq!(run.arguments, ["--", "true", "x\ty"]);
    let shown = asked.descriptor.as_ref().unwrap();
    let expected = fs::metadata("/usr/bin/env").unwrap();
    let found = fstat(shown).unwrap();
    assert_eq!(
        (found.st_dev, found.st_ino),
        (expected.dev(), expected.ino())
    );
    assert!(fcntl_getfl(shown.as_fd()).unwrap().contains(OFlags::PATH));
}

#[test]
fn the_command_gets_the_variables_and_loses_proxies() {
    let fake = FakeNodeAgent::start(admit);
    let mut command = fake.command();
    for name in [
        "http_proxy",
        "HTTPS_PROXY",
        "All_Proxy",
        "no_proxy",
        "ALL_PROXY",
    ] {
        command.env(name, "http://proxy.example");
    }
    let output = command
        .env("SSL_CERT_FILE", "/old")
        .env("KEPT", "yes")
        .args(["run", "--as", "bot", "env"])
        .output()
        .unwrap();
    let variables: Vec<_> = text(&output.stdout).lines().collect();
    assert!(
        variables.contains(&"SSL_CERT_FILE=/run/lanyard/bundle.pem"),
        "{variables:?}"
    );
    assert!(variables.contains(&"KEPT=yes"), "{variables:?}");
    // No program reads a mixed case.
    let proxies: Vec<_> = variables
        .iter()
        .filter(|line| line.contains("proxy.example"))
        .collect();
    assert_eq!(proxies, [&"All_Proxy=http://proxy.example"]);
    fake.end();
}

#[test]
fn the_command_keeps_its_exit_status_folder_and_name() {
    let (_guard, folder) = nobody();
    let fake = FakeNodeAgent::start(admit);
    let script = "pwd; echo $0; exit 42";
    let output = fake
        .command()
        .current_dir(&folder)
        .args(["run", "--as", "bot", "sh", "-c", script])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(42));
    assert_eq!(text(&output.stdout), format!("{}\nsh\n", folder.display()));
    fake.end();
}

/// The lines of `/proc/self/status` of a command that was admitted.
fn status_lines(name: &str) -> String {
    let fake = FakeNodeAgent::start(admit);
    let (output, _) = fake.when(&["run", "--as", "bot", "grep", name, "/proc/self/status"]);
    text(&output.stdout).trim().to_owned()
}

#[test]
fn the_command_can_gain_no_privileges() {
    assert_eq!(status_lines("^NoNewPrivs"), "NoNewPrivs:\t1");
}

#[test]
fn the_command_starts_with_no_signal_ignored() {
    // SIGPIPE is 13: bit 12.
    let line = status_lines("^SigIgn");
    let mask = u64::from_str_radix(line.strip_prefix("SigIgn:\t").unwrap(), 16).unwrap();
    assert_eq!(mask & (1 << 12), 0, "{line}");
}

#[test]
fn the_command_inherits_neither_connection_nor_descriptor() {
    let fake = FakeNodeAgent::start(|asked| admit(asked).is_left());
    let (output, is_left) = fake.when(&["run", "--as", "bot", "ls", "-l", "/proc/self/fd"]);
    let listed = text(&output.stdout);
    assert!(!listed.contains("socket:"), "{listed}");
    assert!(!listed.contains("/usr/bin/ls"), "{listed}");
    assert!(is_left);
}

#[test]
fn a_script_runs_by_its_own_path() {
    let (_guard, folder) = nobody();
    let script = folder.join("hello");
    write_program(&script, "#!/bin/sh\necho $0 $1");
    let fake = FakeNodeAgent::start(admit);
    let output = fake
        .command()
        .current_dir(&folder)
        .args(["run", "--as", "bot", "./hello", "world"])
        .output()
        .unwrap();
    assert_eq!(
        text(&output.stdout),
        format!("{} world\n", script.display())
    );
    assert_eq!(requested(&fake.end()).path, script.to_str().unwrap());
}

#[test]
fn a_missing_interpreter_is_not_taken_for_a_missing_command() {
    let (_guard, folder) = nobody();
    let script = folder.join("broken");
    write_program(&script, "#!/absent/interpreter");
    let fake = FakeNodeAgent::start(admit);
    let (output, _) = fake.when(&["run", "--as", "bot", script.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(127));
    assert!(
        text(&output.stderr).contains("hint: the interpreter"),
        "{output:?}"
    );
}

#[test]
fn a_refusal_is_told_with_its_hint_and_nothing_runs() {
    let fake = FakeNodeAgent::start(refuse);
    let (output, ()) = fake.when(&["run", "--as", "bot", "echo", "ran"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(
        text(&output.stderr),
        "error: uid 1000 may not use default/bot\nhint: add the user to allowedUsers\n"
    );
}

#[test]
fn without_a_node_agent_nothing_runs() {
    let (_guard, folder) = nobody();
    let output = lanyard()
        .args(["run", "--as", "bot", "--run-dir"])
        .arg(&folder)
        .args(["echo", "ran"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let told = text(&output.stderr);
    assert!(told.contains("error: no node agent runs here"), "{told}");
    assert!(told.contains("lanyard up"), "{told}");
}

#[test]
fn a_node_agent_that_hangs_up_admits_nobody() {
    let fake = FakeNodeAgent::start(|asked| asked.hang_up());
    let (output, ()) = fake.when(&["run", "--as", "bot", "echo", "ran"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn what_cannot_run_is_said_as_shells_do_before_anyone_is_asked() {
    let (_guard, folder) = nobody();
    let plain = folder.join("plain");
    fs::write(&plain, "").unwrap();
    for (command, status) in [("absent", 127), (plain.to_str().unwrap(), 126), ("/", 126)] {
        let output = lanyard()
            .args(["run", "--as", "bot", command])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
    }
}

#[test]
fn wrong_usage_is_2() {
    for words in [
        ["run", "env"].as_slice(),
        &["run", "--as", "Bad_Name", "env"],
        &["frob"],
    ] {
        let output = lanyard().args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    }
}
