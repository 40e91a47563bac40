//! The samples that the README shows are good manifests.

use std::{fs, path::PathBuf};

use jiff::Timestamp;
use lanyard_access::{
    digest::Sha256Digest,
    grant::Protocol,
    object::{ObjectKey, Uid},
};
use lanyard_crds::{
    kind::Kind,
    local_policy::{self, SecretPlace},
    manifest::{self, Lives, Object, Set},
};

fn examples() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "examples"]
        .iter()
        .collect()
}

fn objects() -> Vec<Object> {
    let folder = fs::read_dir(examples().join("manifests")).expect("the samples are there");
    let mut files: Vec<PathBuf> = folder
        .map(|entry| entry.expect("the folder can be listed").path())
        .collect();
    files.sort();
    let read = files.iter().map(|file| manifest::read_file(file));
    read.flat_map(|objects| objects.unwrap_or_else(|problems| panic!("{problems:#?}")))
        .collect()
}

/// A caller that knows each object since it was first read.
struct FirstLives;

impl Lives for FirstLives {
    fn uid_of(&mut self, kind: Kind, key: &ObjectKey) -> Uid {
        Uid::new(format!("{kind}/{key}"))
    }

    fn activated_at(&mut self, _: &Uid, _: &Sha256Digest) -> Option<Timestamp> {
        None
    }
}

#[test]
fn every_grant_that_stands_for_itself_is_a_good_manifest() {
    let folder = fs::read_dir(examples().join("grants")).expect("the grants are there");
    let mut count = 0;
    for file in folder {
        let path = file.unwrap().path();
        let read = manifest::read_file(&path);
        assert!(read.is_ok(), "{read:?}");
        count += 1;
    }
    assert!(count > 1);
}

#[test]
fn every_sample_is_a_good_manifest() {
    let set = Set::new(objects()).unwrap();
    let names: Vec<String> = set
        .objects()
        .map(|object| format!("{} {}", object.kind(), object.key))
        .collect();
    assert_eq!(
        names,
        [
            "AgentIdentity default/agent",
            "AccessGrant default/agent-api",
            "AccessGrant default/agent-database",
            "CredentialSource default/api-token",
        ]
    );
}

#[test]
fn samples_become_checked_objects_with_the_callers_uids() {
    let written = Set::new(objects())
        .unwrap()
        .written(&mut FirstLives)
        .unwrap();
    let grant = &written.grants[&"default/agent-api".parse().unwrap()];
    assert_eq!(grant.uid.as_str(), "AccessGrant/default/agent-api");
    assert_eq!(grant.resource.port.get(), 443);
    assert_eq!(grant.credential, Some("default/api-token".parse().unwrap()));
    let direct = &written.grants[&"default/agent-database".parse().unwrap()];
    assert_eq!(direct.resource.protocol, Protocol::Tcp);
    assert_eq!(written.identities.len(), 1);
    assert_eq!(written.credentials.len(), 1);
}

#[test]
fn the_sample_of_a_local_policy_is_good() {
    let policy = local_policy::read_file(&examples().join("local.yaml")).unwrap();
    assert_eq!(policy.trust_domain.as_str(), "example.com");
    let agent = &policy.identities[&"default/agent".parse().unwrap()];
    assert!(agent.users.contains("bob"));
    assert!(agent.groups.contains("agents"));
    assert!(agent.allow_paths.is_empty() && agent.unix_sockets.is_empty());
    assert_eq!(policy.minimum_landlock, 0);
    let (secret, file) = policy.secrets.first_key_value().unwrap();
    assert_eq!(secret.to_string(), "default/api/token");
    let expected = SecretPlace::File("/etc/lanyard/secrets/api-token".into());
    assert_eq!(*file, expected);
}
