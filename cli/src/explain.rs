//! `lanyard explain`: why something was refused, and what would allow it.

use std::{
    fmt::{self, Display},
    io::{self, Write},
};

use lanyard_access::object::ObjectKey;
use lanyard_protocol::control::{
    Attempt, Explain, Explanation, explain, reply::Reply, request::Verb,
};
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    args::{ExplainArgs, Format, ParseTargetError, Place, Target, What},
    control::{self, ControlError},
    failure::Failure,
    terminal::{printable, printable_lines},
};

/// Why an explanation cannot be shown.
#[derive(Debug, Error)]
pub(crate) enum ExplainError {
    #[error(transparent)]
    Target(#[from] ParseTargetError),
    #[error("the record of the node agent is not JSON: {0}")]
    Record(#[from] serde_json::Error),
}

/// Asks why, and prints the answer.
pub(crate) fn explain(
    place: &Place,
    args: &ExplainArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let what = match args.what().map_err(ExplainError::Target)? {
        What::Last => explain::What::Last(true),
        What::Event(id) => explain::What::Id(id),
        What::Attempt(agent, target) => {
            explain::What::Attempt(attempt(&agent, &args.method, &target))
        }
    };
    let verb = Verb::Explain(Explain { what: Some(what) });
    let Reply::Explanation(explanation) = control::ask(place, verb)? else {
        return Err(ControlError::NotUnderstood.into());
    };
    match args.output.format {
        Format::Table => write!(out, "{}", Page(&explanation))?,
        Format::Json => {
            let document = Document::of(&explanation)?;
            serde_json::to_writer(&mut *out, &document).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn attempt(agent: &ObjectKey, method: &str, target: &Target) -> Attempt {
    Attempt {
        agent: agent.to_string(),
        host: target.host.to_string(),
        port: target.port.get().into(),
        protocol: target.protocol.as_str().to_owned(),
        method: target
            .path
            .as_ref()
            .map_or_else(String::new, |_| method.to_owned()),
        path: target.path.clone().unwrap_or_default(),
    }
}

/// The explanation as programs read it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    record: Option<&'a RawValue>,
    summary: &'a str,
    facts: &'a [String],
    remedy: Option<&'a str>,
    yaml: Option<&'a str>,
}

impl<'a> Document<'a> {
    fn of(explanation: &'a Explanation) -> Result<Self, ExplainError> {
        let record = unless_empty(&explanation.record);
        Ok(Self {
            record: record.map(serde_json::from_str).transpose()?,
            summary: &explanation.summary,
            facts: &explanation.facts,
            remedy: unless_empty(&explanation.remedy),
            yaml: unless_empty(&explanation.yaml),
        })
    }
}

fn unless_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The explanation as people read it.
struct Page<'a>(&'a Explanation);

impl Display for Page<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(explanation) = self;
        writeln!(formatter, "{}", printable_lines(&explanation.summary))?;
        if !explanation.facts.is_empty() {
            writeln!(formatter)?;
        }
        for fact in &explanation.facts {
            writeln!(formatter, "  - {}", printable(fact))?;
        }
        if !explanation.remedy.is_empty() {
            let remedy = printable_lines(&explanation.remedy);
            writeln!(formatter, "\nWhat to do: {remedy}")?;
        }
        if !explanation.yaml.is_empty() {
            let yaml = printable_lines(&explanation.yaml);
            writeln!(formatter, "\nThis would allow it:\n\n{yaml}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation() -> Explanation {
        Explanation {
            record: r#"{"format":1,"id":"x","b":1,"a":2}"#.into(),
            summary: "curl was refused".into(),
            facts: vec!["no grant names \x1b[2Jit".into(), "second".into()],
            remedy: "grant it".into(),
            yaml: "kind: AccessGrant\nspec:\n  x: 1\n".into(),
        }
    }

    #[test]
    fn a_page_says_what_happened_then_why_then_what_to_do() {
        assert_eq!(
            Page(&explanation()).to_string(),
            "curl was refused\n\n  - no grant names \\u{1b}[2Jit\n  - second\n\n\
             What to do: grant it\n\nThis would allow it:\n\n\
             kind: AccessGrant\nspec:\n  x: 1\n"
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let explanation = Explanation {
            summary: "all is well".into(),
            ..Explanation::default()
        };
        assert_eq!(Page(&explanation).to_string(), "all is well\n");
        let document = serde_json::to_string(&Document::of(&explanation).unwrap()).unwrap();
        assert_eq!(
            document,
            r#"{"record":null,"summary":"all is well","facts":[],"remedy":null,"yaml":null}"#
        );
    }

    #[test]
    fn the_record_keeps_its_bytes() {
        let explanation = explanation();
        let document = serde_json::to_string(&Document::of(&explanation).unwrap()).unwrap();
        assert!(document.contains(&explanation.record), "{document}");
    }
}
