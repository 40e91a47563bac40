//! Promise 7: revocation is immediate on a connected node and cuts what is open.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use lanyard_e2e::{
    manifest,
    scenes::{Stage, revoked},
    service,
};

#[test]
fn revoking_cuts_a_download_through_the_broker() {
    let stage = Stage::set().unwrap();
    revoked::download_through_the_broker_is_cut(&stage).unwrap();
}

#[test]
fn revoking_cuts_a_direct_connection() {
    let stage = Stage::set().unwrap();
    revoked::direct_flow_is_cut(&stage).unwrap();
}

/// Datagrams one after the other, answered by the peer, until one is refused; one socket that only waits; and a
/// connection on which the agent waits. The answer to the last datagram may be on its way when the grant is revoked, and
/// is kept from the agent then: it says so, and tries once more.
const TALK: &str = r#"
import socket, sys, time
address, plain = (sys.argv[1], int(sys.argv[2])), (sys.argv[1], int(sys.argv[3]))
waiting = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
waiting.connect(address)
connection = socket.create_connection(plain)
flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flow.settimeout(5)
while True:
    try:
        flow.sendto(b"x", address)
        flow.recv(1)
        print("answered", flush=True)
        time.sleep(0.01)
    except TimeoutError:
        print("unanswered", flush=True)
    except OSError as error:
        print("refused", error.errno, flush=True)
        break
for socket in waiting, connection:
    socket.settimeout(20)
    try:
        print("the other closed it", socket.recv(1), flush=True)
    except TimeoutError:
        print("still waiting", flush=True)
    except OSError as error:
        print("ended", error.errno, flush=True)
"#;

#[test]
fn revoking_cuts_a_flow_of_datagrams_and_what_waits_for_an_answer() {
    talk_and_revoke(|_| {});
}

/// The node agent that revokes is not the one that saw them begin.
#[test]
fn revoking_cuts_flows_that_an_earlier_node_agent_saw_begin() {
    talk_and_revoke(|stage| {
        stage.lanyard.kill_everything().unwrap();
        stage.lanyard.start(&stage.lab).unwrap();
    });
}

fn talk_and_revoke(in_between: impl FnOnce(&mut Stage)) {
    const ECONNABORTED: &str = "ended 103";
    let mut stage = Stage::set().unwrap();
    let grant = |protocol| {
        manifest::DirectGrant {
            name: "talk",
            agent: "bot",
            requires: "Image",
            host: &stage.lab.address(),
            port: service::PEER_PORT,
            protocol,
            duration: "1h",
        }
        .yaml()
    };
    let (datagrams, connection) = (
        grant("UDP"),
        grant("TCP").replace("name: talk", "name: connection"),
    );
    for (name, yaml) in [("talk", datagrams), ("connection", connection)] {
        let file = format!("manifests/{name}.yaml");
        stage.lab.write(&file, yaml).unwrap();
        stage
            .lanyard
            .until_live(&format!("default/{name}"))
            .unwrap();
    }
    let (address, port) = (stage.lab.address(), service::PEER_PORT.to_string());
    let mut command = stage.python(&["-c", TALK, &address, &port, &port]);
    let mut agent = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(agent.stdout.take().unwrap()).lines();
    let mut is_answered = |times: usize, stage: &Stage| {
        for line in said.by_ref().take(times) {
            assert_eq!(line.unwrap(), "answered", "{}", stage.lanyard.daemon_log());
        }
    };
    is_answered(5, &stage);
    in_between(&mut stage);
    is_answered(50, &stage);
    stage.lanyard.revoke("default/connection").unwrap();
    stage.lanyard.revoke("default/talk").unwrap();
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    agent.wait().unwrap();
    let mut end = rest.iter().position(|line| line != "answered").unwrap();
    end += usize::from(rest[end] == "unanswered");
    assert_eq!(
        rest[end..],
        ["refused 1", ECONNABORTED, ECONNABORTED],
        "{}",
        stage.lanyard.daemon_log()
    );
}

#[test]
fn revoking_one_of_two_overlapping_grants_leaves_the_other() {
    let stage = Stage::set().unwrap();
    let second = manifest::tcp_grant("second", &stage.lab.address(), service::PLAIN_PORT, "1h");
    stage.lab.write("manifests/second.yaml", second).unwrap();
    stage.lanyard.until_live("default/second").unwrap();
    stage.lanyard.revoke("default/plain").unwrap();
    let by_second = stage.curl(&[&stage.plain_url("/")]).output().unwrap();
    assert!(by_second.status.success(), "{by_second:?}");
    stage.lanyard.revoke("default/second").unwrap();
    let by_none = stage
        .curl(&["--max-time", "15", &stage.plain_url("/")])
        .output()
        .unwrap();
    assert!(!by_none.status.success(), "{by_none:?}");
}

/// Not by an edit, not by an edit while nothing runs, and not by a file that was gone for a moment.
#[test]
fn a_revoked_grant_is_not_brought_back_by_an_edit() {
    let mut stage = Stage::set().unwrap();
    let name = "manifests/edited.yaml";
    let grant = |duration: &str| {
        manifest::tcp_grant("edited", &stage.lab.address(), service::PEER_PORT, duration)
    };
    let (first, second, third) = (grant("1h"), grant("59m"), grant("58m"));
    stage.lab.write(name, first).unwrap();
    stage.lanyard.until_live("default/edited").unwrap();
    stage.lanyard.revoke("default/edited").unwrap();
    std::fs::remove_file(stage.lab.path(name)).unwrap();
    stage.lanyard.until_gone("default/edited").unwrap();
    stage.lab.write(name, second).unwrap();
    stage
        .lanyard
        .until_standing("default/edited", "Revoked")
        .unwrap();
    stage.lanyard.kill_everything().unwrap();
    stage.lab.write(name, third).unwrap();
    stage.lanyard.start(&stage.lab).unwrap();
    stage
        .lanyard
        .until_standing("default/edited", "Revoked")
        .unwrap();
}

/// Neither a restart nor a manifest that still says otherwise brings it back.
#[test]
fn a_revoked_grant_stays_revoked_after_everything_was_killed_and_started_again() {
    let mut stage = Stage::set().unwrap();
    assert!(
        stage
            .curl(&[&stage.plain_url("/")])
            .output()
            .unwrap()
            .status
            .success()
    );
    stage.lanyard.revoke("default/plain").unwrap();
    stage.lanyard.kill_everything().unwrap();
    stage.lanyard.start(&stage.lab).unwrap();
    let after = stage
        .curl(&["--max-time", "15", &stage.plain_url("/")])
        .output()
        .unwrap();
    assert!(!after.status.success(), "{after:?}");
    let other = stage.curl(&[&stage.url("/")]).output().unwrap();
    assert!(
        other.status.success(),
        "the other grant is gone too: {other:?}\n{}",
        stage.lanyard.daemon_log()
    );
}
