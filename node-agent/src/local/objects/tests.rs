use super::{
    super::{manifests::Manifests, stored::sample},
    *,
};
use crate::place::Place;

/// With these files, read, and these applied.
fn sources(of_files: &str, applied: &str) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place {
        node: "n".into(),
        attach_root: folder.path().to_owned(),
        cgroup: folder.path().to_owned(),
        kubelet_root: std::path::PathBuf::new(),
        run: folder.path().to_owned(),
        state: folder.path().to_owned(),
    };
    let files = Manifests::new(Vec::new(), BTreeSet::new());
    let mut sources = Sources::open(files, &place).unwrap();
    let of_files = manifest::read_text("up.yaml", of_files).unwrap();
    sources.assume(of_files, sample::objects(applied));
    (folder, sources)
}

fn planned(text: &str, sources: &Sources) -> Result<Vec<Option<ObjectChange>>, Vec<String>> {
    let objects = manifest::read_text("given.yaml", text).unwrap();
    let plan = plan(objects, sources)?;
    for (done, change) in &plan {
        assert_eq!(done.change.is_some(), change.is_some());
    }
    Ok(plan.into_iter().map(|(done, _)| done.change).collect())
}

#[test]
fn each_object_is_created_configured_or_unchanged() {
    let (_folder, sources) = sources("", &sample::grant("known", "a.example"));
    let change = |text: &str| planned(text, &sources).unwrap();
    assert_eq!(
        change(&sample::grant("new", "a.example")),
        [Some(ObjectChange::Created)]
    );
    assert_eq!(change(&sample::grant("known", "a.example")), [None]);
    let other = sample::grant("known", "b.example") + &sample::grant("x", "x.example");
    assert_eq!(
        change(&other),
        [Some(ObjectChange::Configured), Some(ObjectChange::Created)]
    );
}

#[test]
fn what_a_file_writes_is_neither_applied_over_nor_deleted_and_the_file_is_named() {
    let (_folder, sources) = sources(&sample::grant("filed", "a.example"), "");
    let text = sample::grant("new", "a.example") + &sample::grant("filed", "b.example");
    let problems = planned(&text, &sources).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("given.yaml:"), "{problems:?}");
    assert!(problems[0].contains("comes from up.yaml"), "{problems:?}");
    let key = "filed".parse().unwrap();
    let problem = keeps_from_deleting(Kind::AccessGrant, &key, &sources).unwrap();
    assert!(problem.contains("comes from up.yaml"), "{problem}");
}

#[test]
fn only_what_was_applied_can_be_deleted() {
    let (_folder, sources) = sources("", &sample::grant("known", "a.example"));
    let keeps = |kind, name: &str| keeps_from_deleting(kind, &name.parse().unwrap(), &sources);
    assert_eq!(keeps(Kind::AccessGrant, "known"), None);
    assert!(keeps(Kind::AgentIdentity, "known").is_some());
    assert!(keeps(Kind::AccessGrant, "other").is_some());
}

#[test]
fn every_mistake_of_every_manifest_is_told_with_its_place() {
    let manifest = |name: &str, text: &str| Manifest {
        name: name.into(),
        text: text.into(),
    };
    let bad = sample::grant("a", "a.example").replace("HTTPS", "FTP");
    let problems = read(&[manifest("one.yaml", &bad), manifest("two.yaml", "]")]).unwrap_err();
    let told = problems.join("\n");
    assert!(
        told.contains("one.yaml:5:") && told.contains("spec.resource.protocol"),
        "{told}"
    );
    assert!(told.contains("two.yaml:1:"), "{told}");
    let twice = [
        manifest("one.yaml", &sample::grant("a", "a.example")),
        manifest("two.yaml", &sample::grant("a", "a.example")),
    ];
    assert!(read(&twice).unwrap_err()[0].contains("written twice"));
    assert!(
        read(&[manifest("empty.yaml", "# nothing")])
            .unwrap()
            .is_empty()
    );
}

#[test]
fn others_see_what_is_about_agents_that_they_may_run() {
    let bot: ObjectKey = "bot".parse().unwrap();
    let sees = |agent: &ObjectKey| *agent == bot;
    let nobody = |_: &ObjectKey| false;
    let grant = sample::objects(&sample::grant("a", "a.example")).remove(0);
    assert!(is_about(&grant, &sees));
    assert!(!is_about(&grant, &nobody));
}

#[test]
fn a_deletion_names_its_objects_by_name_and_by_manifest() {
    let asked = Delete {
        objects: vec![lanyard_protocol::control::ObjectName {
            kind: "AgentIdentity".into(),
            name: "default/bot".into(),
        }],
        manifests: vec![Manifest {
            name: "a.yaml".into(),
            text: sample::grant("a", "a.example"),
        }],
    };
    let names = names(&asked).unwrap();
    let told: Vec<String> = names
        .iter()
        .map(|(kind, key)| format!("{kind} {key}"))
        .collect();
    assert_eq!(told, ["AgentIdentity default/bot", "AccessGrant default/a"]);
    assert!(kind_of("Secret").unwrap_err().contains("AccessGrant"));
}
