//! What each event says on its line.

mod wording;

use lanyard_access::reason::RefusalReason;
use lanyard_protocol::record::{Event, Record};

use self::wording::{
    asked, attested, change_name, changed, connection, intended, joined, looked_up, named,
    not_attested, not_connected, observed, outcome_name, replied, scope_started, started,
};
use super::line::Line;

/// The line of a record.
#[expect(clippy::too_many_lines, reason = "one arm for each event")]
pub(super) fn line(record: &Record) -> Line {
    let line = Line::about(record);
    match &record.event {
        Event::ScopeStarted {
            scope,
            program,
            observed,
        } => line
            .allowed()
            .what(scope_started(scope, program, *observed)),
        Event::ScopeEnded { scope } => line.what(format!("{} ended", named(scope))),
        Event::ProcessAttested { scope: _, process } => {
            line.allowed().by(process).what(attested(process))
        }
        Event::ProcessRefused {
            scope: _,
            process,
            reason,
            listed,
        } => line
            .refused(reason)
            .by(process)
            .what(not_attested(process, listed.as_ref())),
        Event::ConnectionAllowed {
            scope: _,
            process,
            destination,
            grants,
            name,
        } => line
            .allowed()
            .by(process)
            .what(connection(Some(*destination), name.as_ref()))
            .under(joined(grants)),
        Event::ConnectionRefused {
            scope: _,
            process,
            destination,
            name,
            reason,
            identity,
            path,
            transport: _,
        } => line
            .refused(not_connected(*reason, *identity))
            .by(process)
            .what(match path {
                Some(path) => format!("connect to the unix socket {path}"),
                None => connection(*destination, name.as_ref()),
            }),
        Event::ConnectionObserved {
            scope: _,
            process,
            destination,
            transport,
            name,
            reason,
        } => line.allowed().because(reason).by(process).what(observed(
            *destination,
            *transport,
            name.as_ref(),
        )),
        Event::NameObserved {
            scope: _,
            name,
            addresses,
        } => line
            .allowed()
            .because(RefusalReason::NoGrant)
            .what(looked_up(name, addresses)),
        Event::NameRefused { scope: _, name } => line
            .refused(RefusalReason::NoGrant)
            .what(format!("look up {name}")),
        Event::RequestIntended {
            scope: _,
            process,
            request,
            grant,
            credential,
        } => line
            .allowed()
            .by(process)
            .what(intended(request, credential.as_ref()))
            .under(&grant.key),
        Event::RequestEnded {
            scope: _,
            intent,
            status,
            sent_bytes,
            received_bytes,
            outcome,
        } => line.because(outcome_name(*outcome)).what(format!(
            "request {intent} ended: {}, {sent_bytes} bytes sent, {received_bytes} bytes received",
            replied(*status)
        )),
        Event::RequestRefused {
            scope: _,
            process,
            request,
            reason,
        } => line.refused(reason).by(process).what(asked(request)),
        Event::GrantChanged {
            grant,
            agent,
            reason,
            ends_at,
            by,
        } => line
            .agent(agent)
            .because(reason)
            .under(&grant.key)
            .what(changed(*ends_at, by.as_deref())),
        Event::ObjectChanged {
            kind,
            object,
            change,
            by,
        } => line.what(format!("{kind} {object} {} by {by}", change_name(*change))),
        Event::NodeStarted { version, adopted } => line.what(started(version, *adopted)),
        Event::NodeDisabled { by } => line.what(format!("enforcement was ended by {by}")),
        Event::EventsLost { count } => line.what(format!("{count} kernel events were lost")),
    }
}

#[cfg(test)]
mod tests;
