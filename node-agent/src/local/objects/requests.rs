//! Grants that somebody asks for: what is written for them, and what a decision makes of them. No I/O.

use std::collections::BTreeSet;

use lanyard_access::{grant::Protocol, object::ObjectKey, port::Port};
use lanyard_crds::{
    access_grant::{
        APPROVED, AccessGrant, DECIDED_BECAUSE, DECIDED_BY, DECISION, PENDING, REJECTED,
        REQUESTED_BY,
    },
    manifest::{self, Content, Object},
};
use lanyard_protocol::control::{Ask, Decide};
use serde_json::{Value, json};

use crate::{local::stored, suggest::free_name};

/// How many requests of one agent wait or are rejected at a time.
pub(super) const MOST: usize = 32;

/// What becomes of a request.
#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    /// This is written.
    Write(Box<Object>),
    /// The same waits already.
    Known(ObjectKey),
}

/// What is written for a request, beside `objects`.
pub(super) fn plan<'o>(
    asked: &Ask,
    by: &str,
    objects: impl Iterator<Item = &'o Object>,
) -> Result<Plan, String> {
    let agent: ObjectKey = asked.agent.parse().map_err(|error| format!("{error}"))?;
    let grants: Vec<(&ObjectKey, &AccessGrant)> = objects.filter_map(grant_of).collect();
    let taken: BTreeSet<ObjectKey> = grants.iter().map(|(key, _)| (*key).clone()).collect();
    let key = name(asked, &agent, &taken)?;
    let object = read(&document(asked, &key, &agent, by))?;
    let Content::AccessGrant(new) = &object.content else {
        return Err("what was read is no AccessGrant".to_owned());
    };
    let undecided = grants.iter().filter(|(key, grant)| {
        key.namespace == agent.namespace
            && grant.spec.identity_ref.name == agent.name.as_str()
            && decision(grant).is_some_and(|decision| decision != APPROVED)
    });
    let undecided: Vec<_> = undecided.collect();
    let same = undecided.iter().find(|(_, grant)| {
        grant.spec.resource == new.spec.resource
            && grant.spec.credential_ref == new.spec.credential_ref
            && grant.spec.duration == new.spec.duration
    });
    match same {
        Some((key, grant)) if decision(grant) == Some(REJECTED) => {
            let because = annotation(grant, DECIDED_BECAUSE)
                .map_or_else(String::new, |why| format!(": {why}"));
            Err(format!(
                "the same was asked for as {key}, and rejected{because}"
            ))
        }
        Some((key, _)) => Ok(Plan::Known((*key).clone())),
        None if undecided.len() >= MOST => Err(format!(
            "{MOST} requests of {agent} wait for a decision or were rejected: an admin decides or deletes them first"
        )),
        None => Ok(Plan::Write(Box::new(object))),
    }
}

/// The grant as a decision leaves it.
pub(super) fn decided(object: &Object, asked: &Decide, by: &str) -> Result<Object, String> {
    let key = &object.key;
    let Content::AccessGrant(grant) = &object.content else {
        return Err(format!("{key} is no AccessGrant"));
    };
    match decision(grant) {
        Some(APPROVED) => {
            return Err(format!(
                "{key} is approved already: `lanyard revoke {key}` ends it"
            ));
        }
        Some(REJECTED) if !asked.approve => return Err(format!("{key} is rejected already")),
        Some(_) => {}
        None => return Err(format!("nobody asked for {key}: it was written as it is")),
    }
    if asked.reason.chars().count() > 1024 {
        return Err("the reason has at most 1024 characters".to_owned());
    }
    let mut value = stored::value(object).map_err(|error| error.to_string())?;
    let annotations = &mut value["metadata"]["annotations"];
    annotations[DECISION] = json!(if asked.approve { APPROVED } else { REJECTED });
    annotations[DECIDED_BY] = json!(by);
    if asked.reason.is_empty() {
        annotations
            .as_object_mut()
            .map(|all| all.remove(DECIDED_BECAUSE));
    } else {
        annotations[DECIDED_BECAUSE] = json!(asked.reason);
    }
    read(&value)
}

/// Who asked for a grant.
pub(super) fn requester(grant: &AccessGrant) -> &str {
    annotation(grant, REQUESTED_BY).unwrap_or_default()
}

fn grant_of(object: &Object) -> Option<(&ObjectKey, &AccessGrant)> {
    if let Content::AccessGrant(grant) = &object.content {
        Some((&object.key, grant))
    } else {
        None
    }
}

fn annotation<'g>(grant: &'g AccessGrant, name: &str) -> Option<&'g str> {
    let annotations = grant.metadata.annotations.as_ref()?;
    annotations.get(name).map(String::as_str)
}

fn decision(grant: &AccessGrant) -> Option<&str> {
    annotation(grant, DECISION)
}

fn name(asked: &Ask, agent: &ObjectKey, taken: &BTreeSet<ObjectKey>) -> Result<ObjectKey, String> {
    let host = asked
        .host
        .parse()
        .map_err(|error| format!("the host: {error}"))?;
    let port = Port::new(asked.port.into()).map_err(|error| format!("the port: {error}"))?;
    let protocol = Protocol::of_name(&asked.protocol);
    let protocol = protocol.ok_or_else(|| format!("`{}` is no protocol", asked.protocol))?;
    Ok(free_name(agent, &host, port.get(), protocol, taken))
}

fn document(asked: &Ask, key: &ObjectKey, agent: &ObjectKey, by: &str) -> Value {
    let mut resource = json!({
        "host": asked.host,
        "port": asked.port,
        "protocol": asked.protocol,
    });
    let mut rule = json!({});
    if !asked.methods.is_empty() {
        rule["methods"] = json!(asked.methods);
    }
    if !asked.path.is_empty() {
        rule["path"] = json!(asked.path);
    }
    if rule != json!({}) {
        resource["http"] = json!([rule]);
    }
    if asked.allow_private {
        resource["allowPrivate"] = true.into();
    }
    let mut spec = json!({
        "identityRef": { "name": agent.name.as_str() },
        "resource": resource,
        "duration": asked.duration,
        "justification": { "text": asked.reason },
    });
    if !asked.credential.is_empty() {
        // Whatever is no name of one is refused by the reader, and not left out.
        let (namespace, name) = asked
            .credential
            .split_once('/')
            .unwrap_or((agent.namespace.as_str(), &asked.credential));
        spec["credentialRef"] = json!({ "namespace": namespace, "name": name });
    }
    json!({
        "apiVersion": "lanyard.dev/v1alpha1",
        "kind": "AccessGrant",
        "metadata": {
            "name": key.name.as_str(),
            "namespace": key.namespace.as_str(),
            "annotations": { DECISION: PENDING, REQUESTED_BY: by },
        },
        "spec": spec,
    })
}

/// By the same reader as manifests, so that nothing can be asked for that could not be written.
fn read(document: &Value) -> Result<Object, String> {
    let problems = |problems: Vec<lanyard_crds::problem::Problem>| {
        let lines = problems
            .iter()
            .map(|problem| format!("{}: {}", problem.field, problem.message));
        lines.collect::<Vec<_>>().join("\n")
    };
    let mut objects =
        manifest::read_text("the request", &document.to_string()).map_err(problems)?;
    objects.pop().ok_or_else(|| "it holds no object".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str) -> Ask {
        Ask {
            agent: "team/bot".into(),
            host: host.into(),
            port: 443,
            protocol: "HTTPS".into(),
            methods: vec!["GET".into()],
            path: "/orders/**".into(),
            duration: "10m".into(),
            reason: "the release\n# waits".into(),
            ..Ask::default()
        }
    }

    fn written(asked: &Ask, objects: &[Object]) -> Object {
        match plan(asked, "kim", objects.iter()).unwrap() {
            Plan::Write(object) => *object,
            Plan::Known(key) => panic!("{key} was there"),
        }
    }

    fn word(approve: bool) -> Decide {
        Decide {
            approve,
            reason: "not on a Friday".into(),
            ..Decide::default()
        }
    }

    fn standing(object: &Object) -> Option<lanyard_access::grant::Asked> {
        let Content::AccessGrant(grant) = &object.content else {
            panic!("no grant");
        };
        let uid = lanyard_access::object::Uid::new("u");
        grant.check(uid, None).unwrap().asked
    }

    #[test]
    fn what_is_asked_for_gives_nothing_until_it_is_approved() {
        use lanyard_access::grant::Asked;
        let object = written(&ask("api.example.com"), &[]);
        assert_eq!(object.key.to_string(), "team/bot-api-example-com-443");
        assert_eq!(standing(&object), Some(Asked::Undecided));
        let rejected = decided(&object, &word(false), "root").unwrap();
        assert_eq!(standing(&rejected), Some(Asked::Rejected));
        let approved = decided(&rejected, &word(true), "root").unwrap();
        assert_eq!(standing(&approved), None);
        assert!(decided(&approved, &word(false), "root").is_err());
        assert!(decided(&rejected, &word(false), "root").is_err());
    }

    #[test]
    fn the_same_is_asked_for_once_and_not_again_when_it_was_rejected() {
        let asked = ask("api.example.com");
        let object = written(&asked, &[]);
        let again = plan(&asked, "kim", [&object].into_iter()).unwrap();
        assert_eq!(again, Plan::Known(object.key.clone()));
        let rejected = decided(&object, &word(false), "root").unwrap();
        let told = plan(&asked, "kim", [&rejected].into_iter()).unwrap_err();
        assert!(told.contains("not on a Friday"), "{told}");
        let approved = decided(&object, &word(true), "root").unwrap();
        let more = written(&asked, &[approved]);
        assert_ne!(more.key, object.key);
    }

    #[test]
    fn an_agent_cannot_fill_the_machine_with_requests() {
        let mut objects = Vec::new();
        for number in 0..MOST {
            let asked = ask(&format!("h{number}.example.com"));
            objects.push(written(&asked, &objects));
        }
        let told = plan(&ask("one.example.com"), "kim", objects.iter()).unwrap_err();
        assert!(told.contains("wait for a decision"), "{told}");
        let other = Ask {
            agent: "team/other".into(),
            ..ask("one.example.com")
        };
        assert!(plan(&other, "kim", objects.iter()).is_ok());
    }

    #[test]
    fn what_could_not_be_written_cannot_be_asked_for() {
        type Change = fn(&mut Ask);
        let changes: [(Change, &str); 7] = [
            (|asked| asked.credential = "a/b/c".into(), "credentialRef"),
            (|asked| asked.host = "*.example.com".into(), "the host"),
            (|asked| asked.port = 53, "the port of DNS"),
            (|asked| asked.protocol = "QUIC".into(), "no protocol"),
            (|asked| asked.duration = "forever".into(), "duration"),
            (|asked| asked.path = "orders".into(), "path"),
            (|asked| asked.reason = String::new(), "justification"),
        ];
        for (change, says) in changes {
            let mut asked = ask("api.example.com");
            change(&mut asked);
            let error = plan(&asked, "kim", [].into_iter()).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_grant_that_nobody_asked_for_is_not_decided_about() {
        let object = super::super::super::stored::sample::objects(
            &super::super::super::stored::sample::grant("a", "api.example.com"),
        )
        .remove(0);
        assert!(decided(&object, &word(true), "root").is_err());
    }
}
