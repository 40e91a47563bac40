//! `lanyard trust`.

use lanyard_protocol::control::{self, Trusted, reply};
use tokio::net::UnixStream;

use super::{Outcome, caller, denied, peer::Peer, say};
use crate::{
    node::Shared,
    scope::{Scope, trust},
};

/// A scope's variables, on the wire.
pub(super) fn variables(scope: &Scope) -> Vec<control::Variable> {
    let variables = scope.variables().into_iter();
    let sent = variables.map(|variable| control::Variable {
        name: variable.name.to_owned(),
        value: variable.value,
        own: match variable.own {
            trust::Own::Replaced => control::Own::Replaced,
            trust::Own::Before => control::Own::Before,
        }
        .into(),
    });
    sent.collect()
}

/// Of the caller's own scope: each has a root of its own.
pub(super) async fn trust(stream: &mut UnixStream, node: &Shared, peer: &Peer) -> Outcome {
    let own = caller(node, peer).scope;
    let trusted = {
        let node = node.borrow();
        let scope = own.and_then(|scope| node.scopes.get(&scope));
        scope.map(|scope| Trusted {
            bundle: trust::bundle(scope.folder()).display().to_string(),
            variables: variables(scope),
        })
    };
    let Some(trusted) = trusted else {
        return Ok(Err(denied(
            "this is not within a scope, and each scope has a root of its own",
            "lanyard run --as NAME -- lanyard trust",
        )));
    };
    say(stream, reply::Reply::Trusted(trusted)).await?;
    Ok(Ok(()))
}
