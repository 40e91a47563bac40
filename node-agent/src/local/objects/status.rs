//! An object with what is true of it now.

use lanyard_access::{desired::GrantStanding, reason::GrantReason};
use lanyard_crds::manifest::{Content, Object};
use lanyard_protocol::control::{Decided, ObjectStatus};
use serde_json::{Value, json};

use super::{requests, stored};
use crate::{control::time_left, kernel::clock::Moment, node::Node};

/// As callers see it.
pub(super) fn told(
    object: &Object,
    file: Option<&str>,
    node: &Node,
    now: Moment,
) -> serde_json::Result<ObjectStatus> {
    let standing = match &object.content {
        Content::AccessGrant(_) => node.compiler.desired().grants.get(&object.key),
        Content::AgentIdentity(_) | Content::CredentialSource(_) => None,
    };
    let left = standing.map_or(0, |standing| time_left(node, standing, now));
    described(object, file, standing, left, now)
}

/// What a decision was about.
pub(super) fn decided(object: &Object) -> Decided {
    let mut told = Decided {
        grant: object.key.to_string(),
        ..Decided::default()
    };
    if let Content::AccessGrant(grant) = &object.content {
        let resource = &grant.spec.resource;
        let namespace = &object.key.namespace;
        told.agent = format!("{namespace}/{}", grant.spec.identity_ref.name);
        told.opens = format!("{} port {}", resource.host, resource.port);
        requests::requester(grant).clone_into(&mut told.requested_by);
    }
    told
}

/// The decision without the node.
fn described(
    object: &Object,
    file: Option<&str>,
    standing: Option<&GrantStanding>,
    left_millis: u64,
    now: Moment,
) -> serde_json::Result<ObjectStatus> {
    let mut value = stored::value(object)?;
    value["metadata"]["namespace"] = object.key.namespace.as_str().into();
    if let Some(standing) = standing {
        value["metadata"]["uid"] = standing.uid.as_str().into();
        value["status"] = status(standing, now);
    }
    let ends_at = standing.and_then(|standing| standing.ends_at);
    Ok(ObjectStatus {
        kind: object.kind().to_string(),
        name: object.key.to_string(),
        file: file.unwrap_or_default().to_owned(),
        json: value.to_string(),
        reason: standing
            .map(|standing| standing.reason.to_string())
            .unwrap_or_default(),
        ends_at: ends_at.map(|end| end.to_string()).unwrap_or_default(),
        left_millis,
    })
}

/// As an AccessGrant's status is on a cluster. Since when a condition is so is kept for two of them alone: of
/// the others the moment of asking is told.
fn status(standing: &GrantStanding, now: Moment) -> Value {
    let is_live = standing.reason == GrantReason::Active;
    let since = if is_live {
        standing.activated_at
    } else if standing.reason == GrantReason::Expired {
        standing.ends_at
    } else {
        None
    };
    let mut status = json!({
        "conditions": [{
            "type": "Ready",
            "status": if is_live { "True" } else { "False" },
            "reason": standing.reason.as_str(),
            "message": standing.reason.message(),
            "lastTransitionTime": since.unwrap_or(now.wall).to_string(),
        }],
    });
    if let Some(at) = standing.activated_at {
        status["activatedAt"] = at.to_string().into();
    }
    if let Some(at) = standing.ends_at {
        status["expiresAt"] = at.to_string().into();
    }
    status
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use lanyard_access::{digest::Sha256Digest, object::Uid};
    use lanyard_crds::manifest::read_text;

    use super::{super::super::stored::sample, *};

    const NOW: Moment = Moment {
        boot: 0,
        wall: Timestamp::UNIX_EPOCH,
    };

    #[test]
    fn an_object_with_its_status_is_one_that_can_be_applied_again() {
        let object = sample::objects(&sample::grant("a", "a.example")).remove(0);
        let standing = GrantStanding {
            uid: Uid::new("0c5f"),
            spec_hash: Sha256Digest::new([0; 32]),
            identity: "bot".parse().unwrap(),
            reason: GrantReason::Active,
            activated_at: Some(NOW.wall),
            ends_at: Some(Timestamp::from_second(3600).unwrap()),
            changes_at: None,
        };
        let told = described(&object, None, Some(&standing), 5, NOW).unwrap();
        assert_eq!(told.ends_at, "1970-01-01T01:00:00Z");
        assert_eq!((told.reason.as_str(), told.left_millis), ("Active", 5));
        let value: Value = serde_json::from_str(&told.json).unwrap();
        assert_eq!(value["status"]["conditions"][0]["status"], "True");
        let again = read_text("again.json", &told.json).unwrap().remove(0);
        let (Content::AccessGrant(one), Content::AccessGrant(other)) =
            (&object.content, &again.content)
        else {
            panic!("another kind");
        };
        assert_eq!(one.spec, other.spec);
    }
}
