//! Asks the API server whether a user may.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};
use lanyard_access::object::ObjectKey;
use lanyard_crds::names::GROUP;
use thiserror::Error;
use tokio::time::{error::Elapsed, timeout};
use tracing::warn;

use crate::{
    apply::{hub::Hub, metrics::count},
    decide::reviews::{Question, Requester},
};

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ReviewError {
    /// The API server gave none.
    #[error("create a SubjectAccessReview: {0}")]
    Create(#[from] kube::Error),
    /// It took too long.
    #[error("create a SubjectAccessReview: no answer in time")]
    Late(#[from] Elapsed),
    /// It could not say.
    #[error("the API server cannot say: {0}")]
    Undecided(String),
}

/// Asks what is due, for ever.
pub async fn review(hub: Arc<Hub>, client: Client) {
    loop {
        let changed = hub.changed.notified();
        let now = hub.now().steady;
        let question = hub.state().next_question(now);
        let Some(question) = question else {
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            continue;
        };
        count(&hub.counters.reviews);
        match may_grant(&client, &question).await {
            Ok(allowed) => hub.with(|state, at| state.answer(&question, allowed, at)),
            Err(error) => {
                count(&hub.counters.failed_reviews);
                warn!(grant = %question.grant, %error, "a requester could not be looked up");
            }
        }
    }
}

async fn may_grant(client: &Client, question: &Question) -> Result<bool, ReviewError> {
    let grants = ask(
        client,
        &question.requester,
        "grant",
        "agentidentities",
        &question.identity,
    );
    if !grants.await? {
        return Ok(false);
    }
    match &question.credential {
        Some(source) => {
            ask(
                client,
                &question.requester,
                "use",
                "credentialsources",
                source,
            )
            .await
        }
        None => Ok(true),
    }
}

async fn ask(
    client: &Client,
    requester: &Requester,
    verb: &str,
    resource: &str,
    key: &ObjectKey,
) -> Result<bool, ReviewError> {
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let attributes = ResourceAttributes {
        group: Some(GROUP.into()),
        resource: Some(resource.into()),
        verb: Some(verb.into()),
        namespace: Some(key.namespace.to_string()),
        name: Some(key.name.to_string()),
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(requester.user.clone()),
            groups: Some(groups_of(requester)),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let parameters = PostParams::default();
    let answer = api.create(&parameters, &review);
    let answer = timeout(Duration::from_secs(5), answer).await??;
    let status = answer.status.unwrap_or_default();
    match status.evaluation_error {
        Some(error) if !status.allowed => Err(ReviewError::Undecided(error)),
        _ => Ok(status.allowed),
    }
}

/// The groups that were written down; and those that the API server itself gives to every user, and to every
/// service account.
fn groups_of(requester: &Requester) -> Vec<String> {
    let mut groups = requester.groups.clone();
    let mut add = |group: String| {
        if !groups.contains(&group) {
            groups.push(group);
        }
    };
    add("system:authenticated".into());
    let account = requester.user.strip_prefix("system:serviceaccount:");
    if let Some((namespace, _)) = account.and_then(|account| account.split_once(':')) {
        add("system:serviceaccounts".into());
        add(format!("system:serviceaccounts:{namespace}"));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_has_the_groups_of_one() {
        let of = |user: &str| {
            groups_of(&Requester {
                user: user.into(),
                groups: vec!["team".into()],
            })
        };
        assert_eq!(of("bob"), ["team", "system:authenticated"]);
        assert_eq!(
            of("system:serviceaccount:ci:deploy")[2..],
            ["system:serviceaccounts", "system:serviceaccounts:ci"]
        );
    }
}
