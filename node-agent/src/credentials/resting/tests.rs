use std::collections::BTreeSet;

use lanyard_access::{
    credential::{Consumers, CredentialSource, Injection, Source},
    object::Uid,
};
use zeroize::Zeroizing;

use super::*;
use crate::credentials::Claim;

const S: u64 = SECOND;

fn source(uid: &str) -> Wanted {
    Wanted::Here(CredentialSource {
        key: "default/token".parse().unwrap(),
        uid: Uid::new(uid),
        allowed_hosts: BTreeSet::new(),
        consumers: Consumers {
            namespaces: BTreeSet::new(),
            identities: BTreeSet::new(),
        },
        source: Source::SecretKey {
            name: "api".parse().unwrap(),
            key: "token".into(),
        },
        injection: Injection::Bearer,
    })
}

/// Of one grant of a pod, in a cluster.
fn claimed(grant: &str, pod: &str) -> Wanted {
    Wanted::OfAuthority(Claim {
        source: "default/token".parse().unwrap(),
        grant: grant.parse().unwrap(),
        grant_uid: Uid::new("1"),
        pod: pod.parse().unwrap(),
    })
}

/// The authority decides for each grant of each pod whether it may have it: what one has, another asks for.
#[test]
fn what_rests_for_one_grant_of_one_pod_is_for_no_other() {
    let mut resting = Resting::default();
    let one = claimed("team/one", "00000001");
    let Look::Obtain(_) = resting.look(&one, 0, 0) else {
        panic!("somebody else obtains it");
    };
    resting.settle(&one, obtained("secret"), 0);
    assert!(matches!(resting.look(&one, 0, S), Look::Held(_)));
    for other in [
        claimed("team/other", "00000001"),
        claimed("team/one", "00000002"),
        source("1"),
    ] {
        assert!(
            matches!(resting.look(&other, 0, S), Look::Obtain(_)),
            "{other:?}"
        );
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as a source gives it")]
fn obtained(secret: &str) -> Result<Obtained, CredentialError> {
    Ok(Obtained {
        username: None,
        secret: Zeroizing::new(secret.as_bytes().to_vec()),
    })
}

fn refused() -> Result<Obtained, CredentialError> {
    Err(CredentialError::Source("no such file".into()))
}

fn look(resting: &mut Resting, refused_version: u64, now: u64) -> String {
    match resting.look(&source("1"), refused_version, now) {
        Look::Held(held) => format!(
            "{}@{}",
            String::from_utf8_lossy(held.reveal()),
            held.version
        ),
        Look::Failed(error) => error.to_string(),
        Look::Wait(_) => "wait".into(),
        Look::Obtain(_) => "obtain".into(),
    }
}

#[test]
fn of_many_one_obtains_and_all_get_the_same() {
    let mut resting = Resting::default();
    let Look::Obtain(_) = resting.look(&source("1"), 0, 0) else {
        panic!("somebody else obtains it");
    };
    let Look::Wait(settled) = resting.look(&source("1"), 0, 0) else {
        panic!("two obtain it");
    };
    resting.settle(&source("1"), obtained("one"), S);
    // The sender is gone: whoever waits is woken.
    assert!(settled.has_changed().is_err());
    assert_eq!(look(&mut resting, 0, S), "one@1");
}

#[test]
fn a_credential_rests_for_a_minute_and_no_longer_however_it_is_used() {
    let mut resting = Resting::default();
    look(&mut resting, 0, 0);
    resting.settle(&source("1"), obtained("one"), 0);
    for second in (0..60).step_by(7) {
        assert_eq!(look(&mut resting, 0, second * S), "one@1");
    }
    assert_eq!(look(&mut resting, 0, 60 * S), "obtain");
    resting.settle(&source("1"), obtained("two"), 60 * S);
    assert_eq!(look(&mut resting, 0, 60 * S), "two@2");
    resting.sweep(|_| true, 119 * S);
    assert_eq!(resting.entries.len(), 1);
    resting.sweep(|_| true, 121 * S);
    assert!(resting.entries.is_empty());
}

#[test]
fn one_that_a_service_refused_is_obtained_again_and_the_same_is_no_other() {
    let mut resting = Resting::default();
    look(&mut resting, 0, 0);
    resting.settle(&source("1"), obtained("one"), 0);
    assert_eq!(look(&mut resting, 1, 4 * S), "one@1");
    assert_eq!(look(&mut resting, 1, 5 * S), "obtain");
    resting.settle(&source("1"), obtained("one"), 5 * S);
    // Whoever asked for another knows by the version that there is none.
    assert_eq!(look(&mut resting, 1, 5 * S), "one@1");
    assert_eq!(look(&mut resting, 1, 10 * S), "obtain");
    resting.settle(&source("1"), obtained("two"), 10 * S);
    assert_eq!(look(&mut resting, 1, 10 * S), "two@2");
}

#[test]
fn a_source_that_failed_is_left_alone_for_longer_and_longer() {
    let mut resting = Resting::default();
    let mut now = 0;
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(look(&mut resting, 0, now), "obtain");
        resting.settle(&source("1"), refused(), now);
        let error = look(&mut resting, 0, now + pause * S - 1);
        assert!(
            error.contains("no such file") && error.contains("again in 1 s"),
            "{error}"
        );
        now += pause * S;
    }
    assert_eq!(look(&mut resting, 0, now), "obtain");
    resting.settle(&source("1"), obtained("one"), now);
    assert_eq!(look(&mut resting, 0, now), "one@1");
}

#[test]
fn what_is_written_anew_is_another_source() {
    let mut resting = Resting::default();
    look(&mut resting, 0, 0);
    resting.settle(&source("1"), obtained("one"), 0);
    assert!(matches!(resting.look(&source("2"), 0, 0), Look::Obtain(_)));
    // What was obtained from the one before comes too late.
    resting.settle(&source("1"), obtained("one"), 0);
    assert!(matches!(resting.look(&source("2"), 0, 0), Look::Wait(_)));
    resting.sweep(|_| false, 0);
    assert!(resting.entries.is_empty());
}
