//! A broker speaks with an agent that may be hostile, and holds secrets: whoever took it over has gained a process
//! without any right, and no other process of its machine can look into it.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{fs, os::unix::fs::MetadataExt as _, process::Command, time::Duration};

use lanyard_e2e::{
    dialogue::Dialogue,
    scenes::{Stage, USER},
    wait,
};

/// The values of a line of `/proc/PID/status`.
fn values<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.strip_prefix(':'))
        .unwrap_or_else(|| panic!("{name} is in:\n{status}"))
        .split_whitespace()
        .collect()
}

fn status(process: &str) -> String {
    fs::read_to_string(format!("/proc/{process}/status")).unwrap()
}

#[test]
fn a_broker_has_a_user_of_its_own_no_capability_and_nothing_to_be_read() {
    let stage = Stage::set().unwrap();
    let python = stage.python.display().to_string();
    let waiting = [python.as_str(), "-c", "import sys; sys.stdin.read()"];
    let mut run = stage.lanyard.run(Some(USER), &waiting);
    let agent = Dialogue::start(&mut run).unwrap();
    let broker = stage.lanyard.only_broker().unwrap();
    // The filter of system calls is the last that it puts on itself, before it serves.
    let its = wait::until("it is confined", Duration::from_secs(10), || {
        let its = status(&broker.to_string());
        Ok((values(&its, "Seccomp") == ["2"]).then_some(its))
    });
    let its = its.unwrap();

    let users = values(&its, "Uid");
    assert!(users.iter().all(|user| *user == users[0]), "{users:?}");
    let agents = status(&agent.id().to_string());
    for other in ["0", values(&agents, "Uid")[0]] {
        assert!(!users.contains(&other), "{users:?} has {other}");
        assert!(!values(&its, "Gid").contains(&other));
    }
    assert_eq!(values(&its, "Groups"), [""; 0]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(values(&its, set), ["0000000000000000"], "{set}");
    }
    assert_eq!(values(&its, "NoNewPrivs"), ["1"]);
    // The other side of each: this process, as root.
    let own = status("self");
    assert_eq!(values(&own, "Uid")[0], "0");
    assert_ne!(values(&own, "CapEff"), ["0000000000000000"]);

    // What is not dumpable belongs to root (proc(5), `/proc/pid`).
    let mem = format!("/proc/{broker}/mem");
    assert_eq!(fs::metadata(&mem).unwrap().uid(), 0);
    for file in ["mem", "environ", "maps"] {
        let file = format!("/proc/{broker}/{file}");
        let as_itself = ["--reuid", users[0], "--regid", users[0], "--clear-groups"];
        let read = Command::new("setpriv")
            .args(as_itself)
            .args(["head", "-c1", &file])
            .output()
            .unwrap();
        assert!(!read.status.success(), "{file}: {read:?}");
        let said = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(said.contains("Permission denied"), "{file}: {said}");
    }

    let limits = fs::read_to_string(format!("/proc/{broker}/limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let values: Vec<&str> = line.unwrap().split_whitespace().collect();
        [values[0].to_owned(), values[1].to_owned()]
    };
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    let locked: u64 = values(&its, "VmLck")[0].parse().unwrap();
    let was_told = stage
        .lanyard
        .daemon_log()
        .contains("brokers cannot lock their memory");
    assert_eq!(
        locked > 0,
        !was_told,
        "{locked} KiB are locked\n{}",
        stage.lanyard.daemon_log()
    );
    assert_eq!(limit("Max locked memory")[0] == "unlimited", !was_told);
    assert!(agent.end().is_ok());
}
