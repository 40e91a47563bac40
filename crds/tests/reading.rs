//! What the reader of manifests accepts, and what it says of whole files.

use std::fs;

use jiff::Timestamp;
use lanyard_access::{
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    identity::{Enforcement, ProcessAccess},
    lifetime::Lifetime,
    object::{ObjectKey, Uid},
    process::ChildrenRule,
};
use lanyard_crds::{
    kind::Kind,
    local_policy::{self, AllowedPath, IdentityPolicy, SocketPath},
    manifest::{self, Content, Lives, Object, Set},
    problem::Problem,
};
use proptest::prelude::*;

const GRANT: &str = "\
apiVersion: lanyard.dev/v1alpha1
kind: AccessGrant
metadata:
  name: agent-api
spec:
  identityRef:
    name: agent
  resource:
    host: api.example.com
    protocol: HTTPS
  duration: 10m
";

fn read(text: &str) -> Vec<Object> {
    manifest::read_text("a.yaml", text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn shown(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn files_that_say_nothing_hold_no_objects() {
    for text in [
        "",
        "\n",
        "# nothing\n",
        "---\n",
        "---\n---\n# nothing\n---\n...\n",
        "\u{feff}",
    ] {
        assert_eq!(read(text), [], "{text:?}");
    }
}

#[test]
fn empty_documents_between_objects_are_nothing() {
    let other = GRANT.replace("agent-api", "other");
    let text = format!("# first\n---\n{GRANT}---\n# nothing\n---\n{other}...\n");
    let objects = read(&text);
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0].position.line, 6);
    assert_eq!(objects[1].position.line, 20);
}

#[test]
fn what_the_api_server_manages_is_accepted_and_ignored() {
    let metadata = "\
metadata:
  name: agent-api
  uid: 1f0e
  generation: 3
  labels: {team: payments}
  annotations:
    a.example.com/b: \"1\"
  managedFields: [{manager: kubectl}]
status:
  conditions: [{type: Ready, status: unheard-of}]
  anything: true
";
    let text = GRANT.replace("metadata:\n  name: agent-api\n", metadata);
    assert_eq!(read(&text)[0].key.to_string(), "default/agent-api");
}

#[test]
fn the_namespace_is_default_unless_it_is_written() {
    let text = GRANT.replace("  name: agent-api", "  name: agent-api\n  namespace: team");
    assert_eq!(read(GRANT)[0].key.to_string(), "default/agent-api");
    assert_eq!(read(&text)[0].key.to_string(), "team/agent-api");
}

#[test]
fn defaults_are_filled_in() {
    let Content::AccessGrant(grant) = &read(GRANT)[0].content else {
        panic!("not a grant");
    };
    assert_eq!(grant.spec.resource.port, 443);
    assert!(!grant.spec.revoked);
}

#[test]
fn json_lists_aliases_and_windows_line_ends_are_read() {
    let json = r#"{"apiVersion": "lanyard.dev/v1alpha1", "kind": "AccessGrant", "metadata": {"name": "agent-api"},
        "spec": {"identityRef": {"name": "agent"}, "resource": {"host": "api.example.com", "protocol": "HTTPS"}, "duration": "10m"}}"#;
    let items = GRANT.replace('\n', "\n    ");
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n  - {}\n",
        items.trim_end()
    );
    let alias = GRANT
        .replace("name: agent-api", "name: &name agent")
        .replace("    name: agent\n", "    name: *name\n");
    let windows = GRANT.replace('\n', "\r\n");
    for text in [json, &list, &windows] {
        assert_eq!(read(text)[0].content, read(GRANT)[0].content, "{text}");
    }
    assert_eq!(read(&alias)[0].key.to_string(), "default/agent");
}

#[test]
fn a_file_that_is_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.yaml");
    fs::write(&path, "# nothing\n".repeat(500_000)).unwrap();
    let refused = format!(
        "{}:1:1: the file is longer than 4 MiB; split it",
        path.display()
    );
    let problems = manifest::read_file(&path).unwrap_err();
    assert_eq!(shown(&problems), [&*refused]);
    let problems = local_policy::read_file(&path).unwrap_err();
    assert_eq!(shown(&problems), [refused]);
}

#[test]
fn a_policy_says_what_of_the_machine_an_agent_may_use() {
    let text = "\
minimumLandlock: 6
identities:
  - name: bot
    allowPaths: [/srv/shared, /opt/cache.d]
    unixSockets: [/run/postgresql/.s.PGSQL.5432]
  - name: other
";
    let policy = local_policy::read_text("local.yaml", text).unwrap();
    assert_eq!(policy.minimum_landlock, 6);
    let bot = &policy.identities[&"default/bot".parse().unwrap()];
    let paths: Vec<&str> = bot.allow_paths.iter().map(AllowedPath::as_str).collect();
    assert_eq!(paths, ["/opt/cache.d", "/srv/shared"]);
    let sockets: Vec<&str> = bot.unix_sockets.iter().map(SocketPath::as_str).collect();
    assert_eq!(sockets, ["/run/postgresql/.s.PGSQL.5432"]);
    let other = &policy.identities[&"default/other".parse().unwrap()];
    assert_eq!(*other, IdentityPolicy::default());
}

#[test]
fn an_identity_says_how_its_processes_are_known() {
    let digest = "0f".repeat(32);
    let text = format!(
        "\
apiVersion: lanyard.dev/v1alpha1
kind: AgentIdentity
metadata:
  name: bot
spec:
  enforcement: Observe
  processAccess: Debug
  workloadSelector:
    processes:
      - name: agent
        executable: {{ path: /usr/bin/python3.13, sha256: {digest} }}
        script: {{ path: /srv/bot/main.py, sha256: {digest} }}
        children: Inherit
---
apiVersion: lanyard.dev/v1alpha1
kind: AgentIdentity
metadata:
  name: scope-only
spec:
  workloadSelector: {{}}
"
    );
    let set = Set::new(read(&text)).unwrap();
    let written = set.written(&mut SecondLives).unwrap();
    let bot = &written.identities[&"default/bot".parse().unwrap()];
    assert_eq!(bot.enforcement, Enforcement::Observe);
    assert_eq!(bot.process_access, ProcessAccess::Debug);
    let [process] = &*bot.processes else {
        panic!("{bot:?}");
    };
    assert_eq!(process.children, ChildrenRule::Inherit);
    let script = process.script.as_ref().unwrap();
    assert_eq!(script.path.as_str(), "/srv/bot/main.py");
    let scope_only = &written.identities[&"default/scope-only".parse().unwrap()];
    assert_eq!(scope_only.enforcement, Enforcement::Enforce);
    assert_eq!(scope_only.process_access, ProcessAccess::None);
    assert_eq!(scope_only.highest_level(), EvidenceLevel::Scope);
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.yaml");
    let problems = shown(&manifest::read_file(&path).unwrap_err());
    let expected = format!("{}:1:1: the file cannot be read: ", path.display());
    assert!(problems[0].starts_with(&expected), "{problems:?}");
}

#[test]
fn an_endless_file_is_not_read_to_its_end() {
    let problems = manifest::read_file("/dev/zero".as_ref()).unwrap_err();
    assert_eq!(
        shown(&problems),
        ["/dev/zero:1:1: the file is longer than 4 MiB; split it"]
    );
}

#[test]
fn of_very_many_mistakes_the_first_are_told() {
    let text = "- x\n---\n".repeat(1000);
    assert_eq!(manifest::read_text("a.yaml", &text).unwrap_err().len(), 100);
}

#[test]
fn the_same_object_in_two_files_is_refused() {
    let first = read(GRANT);
    let text = format!("# again\n{GRANT}");
    let second = manifest::read_text("b.yaml", &text).unwrap();
    let problems = Set::new(first.into_iter().chain(second)).unwrap_err();
    assert_eq!(
        shown(&problems),
        [
            "b.yaml:5:9: metadata.name: AccessGrant default/agent-api is written twice; the first is at a.yaml:4"
        ]
    );
}

#[test]
fn what_an_object_refers_to_need_not_be_there() {
    let text = GRANT.replace("  duration", "  credentialRef: {name: none}\n  duration");
    let set = Set::new(read(&text)).unwrap();
    assert_eq!(set.objects().count(), 1);
}

#[test]
fn a_changed_grant_is_refused_and_a_revoked_one_stays_so() {
    let before = Set::new(read(GRANT)).unwrap();
    let revoked = Set::new(read(&format!("{GRANT}  revoked: true\n"))).unwrap();
    let longer = Set::new(read(&GRANT.replace("10m", "20m"))).unwrap();
    assert_eq!(before.check_update(&before), []);
    assert_eq!(revoked.check_update(&before), []);
    assert_eq!(
        shown(&longer.check_update(&before)),
        ["a.yaml:4:9: spec.duration: cannot be changed: write a new AccessGrant"]
    );
    assert_eq!(
        shown(&before.check_update(&revoked)),
        [
            "a.yaml:4:9: spec.revoked: cannot be set back to false: a revoked grant stays revoked; write a new AccessGrant"
        ]
    );
}

proptest! {
    /// A slip of the hand anywhere in a good manifest: what is read is as good, or a problem says where.
    #[test]
    fn a_slip_anywhere_is_read_or_told(at in 0..GRANT.len(), length in 0..8_usize, slip in "[ \\t\\n:\\-\\[\\]{}#&*!|>'\"%@`a-z0-9~?,]{0,4}") {
        let end = GRANT.len().min(at + length);
        let text = format!("{}{slip}{}", &GRANT[..at], &GRANT[end..]);
        if let Err(problems) = manifest::read_text("a.yaml", &text) {
            let lines = text.lines().count() + 1;
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!((1..=lines).contains(&problem.line), "{problem} in {text}");
                prop_assert!(problem.column >= 1 && !problem.message.is_empty(), "{problem}");
            }
        }
    }

    #[test]
    fn no_text_is_too_odd(text in "\\PC{0,40}(\\n *\\PC{0,20}){0,6}") {
        let _ = manifest::read_text("a.yaml", &text);
        let _ = local_policy::read_text("a.yaml", &text);
    }
}

/// A caller that has seen the grant before.
struct SecondLives;

impl Lives for SecondLives {
    fn uid_of(&mut self, kind: Kind, key: &ObjectKey) -> Uid {
        Uid::new(format!("{kind}/{key}/2"))
    }

    fn activated_at(&mut self, grant: &Uid, _: &Sha256Digest) -> Option<Timestamp> {
        assert_eq!(grant.as_str(), "AccessGrant/default/agent-api/2");
        Some(Timestamp::UNIX_EPOCH)
    }
}

#[test]
fn a_grant_keeps_when_it_was_first_ready() {
    let written = Set::new(read(GRANT))
        .unwrap()
        .written(&mut SecondLives)
        .unwrap();
    let grant = &written.grants[&"default/agent-api".parse().unwrap()];
    assert_eq!(grant.activated_at, Some(Timestamp::UNIX_EPOCH));
    assert_eq!(grant.lifetime, Lifetime::For("10m".parse().unwrap()));
}
