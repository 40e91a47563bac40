use std::fs;

use super::*;

fn bot() -> ObjectKey {
    "bot".parse().unwrap()
}

fn connected(port: u16, level: Option<EvidenceLevel>) -> Connected {
    Connected {
        destination: Destination {
            name: None,
            address: "192.0.2.1".parse().unwrap(),
            port,
            transport: Transport::Tcp,
        },
        level,
        reason: None,
        path: Some("/bin/a".into()),
    }
}

fn described(destination: Option<&str>, path: Option<&str>) -> Described {
    Described {
        destination: destination.map(|text| text.parse().unwrap()),
        name: None,
        reason: ConnectionReason::NoGrant,
        is_about_identity: false,
        path: path.map(str::to_owned),
        transport: destination.map(|_| Transport::Tcp),
    }
}

fn process() -> Process {
    Process {
        pid: 7,
        exec_id: 1,
        path: Some("/bin/a".into()),
        sha256: None,
        level: Some(EvidenceLevel::Scope),
        reason: Some(AttestationReason::NotListed),
    }
}

fn scope() -> ScopeRef {
    ScopeRef {
        name: "bot-1".into(),
        agent: bot(),
        uid: 1000,
    }
}

#[test]
fn of_all_that_went_somewhere_the_best_known_is_remembered() {
    let mut all = Observations::default();
    for level in [None, Some(EvidenceLevel::Image), Some(EvidenceLevel::Scope)] {
        all.connected(&bot(), connected(22, level));
    }
    let observed = all.of(&bot());
    let levels: Vec<_> = observed
        .destinations()
        .map(|(_, seen)| seen.level)
        .collect();
    assert_eq!(levels, [Some(EvidenceLevel::Image)]);
    assert_eq!(all.of(&"other".parse().unwrap()), Observed::default());
}

#[test]
fn what_passed_is_a_record_with_the_name_that_was_told() {
    let mut all = Observations::default();
    let name: DnsName = "a.example".parse().unwrap();
    all.name_told(3, &name, &["192.0.2.1".parse().unwrap()], 0);
    let to = described(Some("192.0.2.1:443"), None);
    let told_name = |event| match event {
        Some(Event::ConnectionObserved { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let here = all.passed(3, scope(), process(), to.clone());
    assert_eq!(told_name(here), Some(name));
    let elsewhere = all.passed(4, scope(), process(), to);
    assert_eq!(told_name(elsewhere), None);
    assert_eq!(all.of(&bot()).destinations().count(), 2);
}

#[test]
fn what_is_no_connection_is_a_notice_and_no_record() {
    let mut all = Observations::default();
    let socket = described(None, Some("/run/docker.sock"));
    assert_eq!(all.passed(3, scope(), process(), socket), None);
    let remarks: Vec<_> = all.of(&bot()).remarks().collect();
    assert!(remarks[0].contains("/run/docker.sock"), "{remarks:?}");
}

#[test]
fn everything_is_bounded_and_says_what_it_left_out() {
    let mut all = Observations::default();
    for port in 0..u16::try_from(MOST_DESTINATIONS).unwrap() + 5 {
        all.connected(&bot(), connected(port, None));
    }
    for number in 0..MOST_NOTICES + 2 {
        let path = format!("/s{number}");
        all.noticed(&bot(), ConnectionReason::UnixSocket, Some(&path));
    }
    let observed = all.of(&bot());
    assert_eq!(observed.destinations().count(), MOST_DESTINATIONS);
    assert!(
        observed
            .remarks()
            .any(|remark| remark == "7 more that found no room")
    );
    for number in 0..MOST_AGENTS + 5 {
        all.connected(&format!("a{number}").parse().unwrap(), connected(1, None));
    }
    assert_eq!(all.agents.len(), MOST_AGENTS);
}

#[test]
fn what_was_observed_outlives_a_restart_and_a_damaged_file_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observed.json");
    let mut before = Observations::read(&path);
    before.keep(&path).unwrap();
    assert!(!path.exists(), "nothing changed");
    before.connected(&bot(), connected(22, Some(EvidenceLevel::Image)));
    before.noticed(&bot(), ConnectionReason::SocketKind, None);
    before.keep(&path).unwrap();
    let after = Observations::read(&path);
    assert_eq!(after.of(&bot()), before.of(&bot()));
    for damaged in ["", "{", r#"{"format":2,"agents":{}}"#] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(Observations::read(&path).of(&bot()), Observed::default());
    }
}
