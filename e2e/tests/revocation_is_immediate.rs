//! Promise 7: revocation is immediate on a connected node and cuts what is open.

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
