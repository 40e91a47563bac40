//! A line for a person: when, what was decided, for whom, about what, why, under which grant.

use std::fmt::{self, Display};

use jiff::Timestamp;
use lanyard_protocol::record::{Process, Record};

use crate::terminal::printable;

/// What was decided, where something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed,
    Refused,
    /// Nobody asked: it is told.
    Told,
}

impl Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Told => "-",
        })
    }
}

/// The parts of a line.
#[derive(Debug)]
pub(super) struct Line {
    at: Timestamp,
    decision: Decision,
    agent: Option<String>,
    process: Option<String>,
    what: String,
    reason: Option<String>,
    grant: Option<String>,
}

impl Line {
    /// What every record says: when, and in whose scope if in one.
    pub(super) fn about(record: &Record) -> Self {
        Self {
            at: record.at,
            decision: Decision::Told,
            agent: record.event.scope().map(|scope| scope.agent.to_string()),
            process: None,
            what: String::new(),
            reason: None,
            grant: None,
        }
    }

    pub(super) fn agent(mut self, agent: &impl Display) -> Self {
        self.agent = Some(agent.to_string());
        self
    }

    pub(super) fn allowed(mut self) -> Self {
        self.decision = Decision::Allowed;
        self
    }

    pub(super) fn refused(mut self, reason: impl Display) -> Self {
        self.decision = Decision::Refused;
        self.because(reason)
    }

    pub(super) fn because(mut self, reason: impl Display) -> Self {
        self.reason = Some(reason.to_string());
        self
    }

    pub(super) fn by(mut self, process: &Process) -> Self {
        let path = process.path.as_deref().unwrap_or("?");
        self.process = Some(format!("{path}[{}]", process.pid));
        self
    }

    pub(super) fn under(mut self, grant: impl Display) -> Self {
        self.grant = Some(grant.to_string());
        self
    }

    pub(super) fn what(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }
}

impl Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agent = self.agent.as_deref().unwrap_or("-");
        write!(
            formatter,
            "{:.3}  {:<7}  {agent:<20}  ",
            self.at, self.decision
        )?;
        if let Some(process) = &self.process {
            write!(formatter, "{}  ", printable(process))?;
        }
        write!(formatter, "{}", printable(&self.what))?;
        if let Some(reason) = &self.reason {
            write!(formatter, "  reason={}", printable(reason))?;
        }
        if let Some(grant) = &self.grant {
            write!(formatter, "  grant={}", printable(grant))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::record::{Event, FORMAT};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_an_agent_named_cannot_steer_the_terminal() {
        let record = Record {
            format: FORMAT,
            id: Uuid::nil(),
            at: Timestamp::UNIX_EPOCH,
            node: "local".into(),
            event: Event::EventsLost { count: 1 },
        };
        let process = Process {
            pid: 1,
            exec_id: 1,
            path: Some("/tmp/\u{9b}2J".into()),
            sha256: None,
            level: None,
            reason: None,
        };
        let line = Line::about(&record)
            .by(&process)
            .what("\x1b[2J\n1970 allowed");
        assert_eq!(
            line.to_string(),
            "1970-01-01T00:00:00.000Z  -        -                     /tmp/\\u{9b}2J[1]  \
             \\u{1b}[2J\\n1970 allowed"
        );
    }
}
