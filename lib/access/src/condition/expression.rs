//! The text of a condition, checked once.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
    thread,
};

use cel::{IdedExpr, Program};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    evaluate::{self, Verdict},
    inspect::{self, Inspected, Subject},
};

/// The longest expression, in bytes.
pub(super) const LONGEST: usize = 1024;

/// Brackets within brackets: the parser goes a dozen calls deep for each.
const DEEPEST: usize = 16;

/// The parser's stack: more than sixteen times what the longest expression took when this was measured.
const STACK: usize = 16 << 20;

/// Why a text is not an [`Expression`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseExpressionError {
    /// Too long to be decided for each request.
    #[error("an expression has from 1 to {LONGEST} characters")]
    Length,
    /// Too many brackets.
    #[error("an expression has at most {DEEPEST} brackets within each other")]
    Brackets,
    /// It is not CEL.
    #[error("`{text}` is not an expression of CEL: {problem}")]
    Syntax {
        /// What was written.
        text: String,
        /// What the parser says.
        problem: String,
    },
    /// It is CEL, with something that a condition cannot have.
    #[error("{0}")]
    Refused(String),
    /// It is no question.
    #[error(
        "`{text}` gives {kind}: a condition is true or false, for example request.path == '/orders'"
    )]
    NoQuestion {
        /// What was written.
        text: String,
        /// The type of what it gives.
        kind: String,
    },
}

/// An expression of CEL about one request.
///
/// It knows `request.method`, `request.path` (decoded), `request.query`, `request.headers` (names in lower
/// case), `request.host`, `request.port`; `mcp.method`, `mcp.tool` and `mcp.arguments`; `agent.namespace`,
/// `agent.name` and `agent.level`. It has the operators and macros of CEL, `size`, `contains`, `startsWith`,
/// `endsWith`, `matches` with a pattern that stands in it, `lowerAscii`, `int`, `double` and `string`.
///
/// What it cannot have is what would take long: it is short, and no macro stands in another.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    text: String,
    checked: Arc<Checked>,
}

pub(super) struct Checked {
    pub(super) expression: IdedExpr,
    pub(super) inspected: Inspected,
}

impl Expression {
    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Of which requests it is asked.
    pub(crate) fn subject(&self) -> Subject {
        self.checked.inspected.subject
    }

    pub(super) fn shared(&self) -> Arc<Checked> {
        Arc::clone(&self.checked)
    }

    pub(super) fn checked(&self) -> &Checked {
        &self.checked
    }
}

impl FromStr for Expression {
    type Err = ParseExpressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() || text.len() > LONGEST {
            return Err(ParseExpressionError::Length);
        }
        check_brackets(text)?;
        let expression = parse(text)?;
        let inspected = inspect::inspect(&expression).map_err(ParseExpressionError::Refused)?;
        let this = Self {
            text: text.to_owned(),
            checked: Arc::new(Checked {
                expression,
                inspected,
            }),
        };
        this.asks()
    }
}

impl Expression {
    /// Refuses what can only ever give something else than true or false.
    fn asks(self) -> Result<Self, ParseExpressionError> {
        match evaluate::of_a_sample(&self) {
            Verdict::NoQuestion(kind) => Err(ParseExpressionError::NoQuestion {
                text: self.text,
                kind,
            }),
            Verdict::Holds | Verdict::Fails | Verdict::Undecided => Ok(self),
        }
    }
}

/// Brackets are counted wherever they stand: in a text between quotes they are few, too.
fn check_brackets(text: &str) -> Result<(), ParseExpressionError> {
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(ParseExpressionError::Brackets);
        }
    }
    Ok(())
}

/// The parser recurses and may panic on what nobody thought of: it gets a thread with a stack for it.
fn parse(text: &str) -> Result<IdedExpr, ParseExpressionError> {
    let refused = |problem: String| ParseExpressionError::Syntax {
        text: text.to_owned(),
        problem,
    };
    let parsed = thread::scope(|scope| {
        let parser = thread::Builder::new()
            .name("condition".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, || {
                Program::compile(text).map(|program| program.expression().clone())
            });
        match parser.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(parsed)) => Ok(parsed),
            Ok(Err(_)) => Err(refused("the parser gave up".to_owned())),
            Err(error) => Err(refused(format!("no thread for the parser: {error}"))),
        }
    });
    parsed?.map_err(|errors| {
        let first = errors.errors.first();
        refused(first.map_or_else(
            || "it is not understood".to_owned(),
            |error| format!("at character {}, {}", error.pos.1, in_short(&error.msg)),
        ))
    })
}

/// Without the list of every token that could have stood there.
fn in_short(message: &str) -> &str {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    message.split(" expecting {").next().unwrap_or(message)
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl PartialOrd for Expression {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Expression {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, formatter)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl TryFrom<String> for Expression {
    type Error = ParseExpressionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.text
    }
}
