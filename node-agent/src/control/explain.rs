//! `lanyard explain`.

use std::io;

use lanyard_access::{grant::Protocol, host::Host, object::ObjectKey};
use lanyard_protocol::{
    control::{Attempt, Explain, Explanation, explain::What, reply},
    frame::FrameError,
    record::Record,
};
use tokio::net::UnixStream;
use uuid::Uuid;

use super::{Denied, Outcome, caller, denied, peer::Peer, queries::may_see_record, say};
use crate::{
    callers::{Caller, Callers},
    explain,
    kernel::clock::Moment,
    node::{Node, Shared},
    record,
};

pub(super) async fn explain(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    peer: &Peer,
    asked: &Explain,
) -> Outcome {
    let caller = caller(node, peer);
    let explained = match &asked.what {
        Some(What::Attempt(attempt)) => would(&node.borrow(), callers, &caller, attempt),
        Some(What::Id(id)) => match by_id(node, id).await? {
            Ok(record) => explained(&node.borrow(), callers, &caller, record),
            Err(refused) => Err(refused),
        },
        Some(What::Last(_)) | None => {
            let node = node.borrow();
            let visible = |record: &Record| may_see_record(callers, &caller, &node, record);
            let last = node.recorder.last_refusal(visible).cloned();
            explained(&node, callers, &caller, last)
        }
    };
    match explained {
        Ok(explanation) => {
            say(stream, reply::Reply::Explanation(explanation)).await?;
            Ok(Ok(()))
        }
        Err(refused) => Ok(Err(refused)),
    }
}

/// The record of that id, read on a thread of its own: the record may be long.
async fn by_id(node: &Shared, id: &str) -> Result<Result<Option<Record>, Denied>, FrameError> {
    let Ok(id) = id.parse::<Uuid>() else {
        let message = format!("`{id}` is not the id of a record");
        return Ok(Err(denied(message, "`lanyard audit tail` shows ids")));
    };
    let path = node.borrow().recorder.path().to_owned();
    let found = tokio::task::spawn_blocking(move || record::find(&path, id)).await;
    let found = found.map_err(io::Error::other)?;
    Ok(found.map_err(|error| denied(error.to_string(), "")))
}

fn explained(
    node: &Node,
    callers: &dyn Callers,
    caller: &Caller,
    record: Option<Record>,
) -> Result<Explanation, Denied> {
    let record = record.filter(|record| may_see_record(callers, caller, node, record));
    let record = record.ok_or_else(|| {
        denied(
            "there is no such record that you may see",
            "`lanyard audit tail` shows what there is",
        )
    })?;
    Ok(explain::explain(&record, node.compiler.desired()))
}

/// What an agent could do is for those who may run it, and for its own processes.
fn would(
    node: &Node,
    callers: &dyn Callers,
    caller: &Caller,
    attempt: &Attempt,
) -> Result<Explanation, Denied> {
    let not_understood = |what: &str, error: String| denied(format!("{what}: {error}"), "");
    let agent: ObjectKey = attempt.agent.parse().map_err(|error| {
        let what = format!("`{}` is not the name of an AgentIdentity", attempt.agent);
        not_understood(&what, format!("{error}"))
    })?;
    let is_own = caller
        .scope
        .and_then(|scope| node.scopes.get(&scope))
        .is_some_and(|scope| scope.agent == agent);
    let is_outside = caller.scope.is_none();
    let may = is_outside && (callers.is_admin(caller) || callers.may_run(caller, &agent));
    if !is_own && !may {
        return Err(denied(
            format!("you may not see what {agent} may do"),
            "ask root, or who may run that agent",
        ));
    }
    let host: Host = attempt
        .host
        .parse()
        .map_err(|error| not_understood("the host", format!("{error}")))?;
    let port = u16::try_from(attempt.port)
        .map_err(|_| denied(format!("{} is no port", attempt.port), ""))?;
    let protocol = Protocol::of_name(&attempt.protocol)
        .ok_or_else(|| denied(format!("`{}` is no protocol", attempt.protocol), ""))?;
    let now = Moment::now();
    let desired = node.compiler.desired();
    let is_request = !attempt.method.is_empty();
    let request = is_request.then(|| (attempt.method.clone(), attempt.path.clone()));
    explain::would(&agent, (host, port, protocol), request, desired, now.wall)
        .map_err(|error| denied(error.to_string(), "`lanyard status` shows what there is"))
}
