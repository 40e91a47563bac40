//! Promise 3: a grant ends on time, and open connections with it, even when all of Lanyard is dead.

use std::{fs, process::Stdio};

use lanyard_e2e::{
    manifest,
    scenes::{
        Stage,
        on_time::{self, Dead, Over},
        streamed,
    },
    service,
};

#[test]
fn a_direct_grant_ends_on_time_although_everything_was_killed() {
    let mut stage = Stage::set().unwrap();
    on_time::grant_ends_although_everything_was_killed(&mut stage).unwrap();
}

/// A process that is stopped holds what it held, and answers nobody.
#[test]
fn a_direct_grant_ends_on_time_although_everything_was_stopped() {
    let mut stage = Stage::set().unwrap();
    on_time::grant_ends_although_everything_is_dead(&mut stage, Dead::Stopped, Over::Tcp).unwrap();
}

#[test]
fn a_datagram_grant_ends_on_time_although_everything_was_killed() {
    let mut stage = Stage::set().unwrap();
    on_time::grant_ends_although_everything_is_dead(&mut stage, Dead::Killed, Over::Udp).unwrap();
}

/// With everything alive, and to the moment by the kernel's clock.
#[test]
fn a_stream_through_the_broker_ends_on_time() {
    let stage = Stage::set().unwrap();
    let stream = streamed::open(&stage).unwrap();
    streamed::ends_on_time(&stage, stream).unwrap();
}

/// The grant through the broker, with an open download and a new request after it.
#[test]
fn a_brokered_grant_ends_with_what_is_open_under_it() {
    let stage = Stage::set().unwrap();
    fs::remove_file(stage.lab.path("manifests/api.yaml")).unwrap();
    let short = manifest::https_grant("short", service::NAME, &stage.service.authority, "6s");
    stage.lab.write("manifests/short.yaml", short).unwrap();
    stage.lanyard.until_live("default/short").unwrap();
    let mut download = stage.curl(&[&stage.url("/large")]);
    let download = download
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = download.wait_with_output().unwrap();
    assert!(
        !output.stdout.is_empty(),
        "nothing came while the grant was live: {output:?}"
    );
    assert!(
        !output.status.success() && output.stdout.len() < 32 << 20,
        "the download was completed"
    );
    stage
        .lanyard
        .until_standing("default/short", "Expired")
        .unwrap();
    let again = stage
        .curl(&["--max-time", "15", &stage.url("/")])
        .output()
        .unwrap();
    assert!(
        !again.status.success() && again.stdout.is_empty(),
        "{again:?}"
    );
}

/// A duration does not begin anew with a restart, nor with a file that is written again.
#[test]
fn a_restart_gives_no_time_back() {
    let mut stage = Stage::set().unwrap();
    let grant = manifest::tcp_grant("once", &stage.lab.address(), service::PLAIN_PORT + 1, "40s");
    stage.lab.write("manifests/once.yaml", &grant).unwrap();
    stage.lanyard.until_live("default/once").unwrap();
    let ends_at = |stage: &Stage| {
        let status = stage.lanyard.status().unwrap();
        let grants = status["grants"].as_array().unwrap().clone();
        grants
            .iter()
            .find(|known| known["grant"] == "default/once")
            .unwrap()["endsAt"]
            .clone()
    };
    let before = ends_at(&stage);
    stage.lanyard.kill_everything().unwrap();
    stage.lanyard.start(&stage.lab).unwrap();
    assert_eq!(ends_at(&stage), before, "after a restart");
    fs::remove_file(stage.lab.path("manifests/once.yaml")).unwrap();
    stage.lanyard.until_gone("default/once").unwrap();
    stage.lab.write("manifests/once.yaml", &grant).unwrap();
    stage.lanyard.until_live("default/once").unwrap();
    assert_eq!(ends_at(&stage), before, "after the file came back");
}
