//! What is wrong in a file, and where, said to the person who wrote it.

use std::fmt;

/// A place in a file; both numbers count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// Where a file begins, which stands for the file as a whole.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// Something wrong at one place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) at: Position,
    pub(crate) field: String,
    pub(crate) message: String,
    pub(crate) allowed: Option<String>,
}

impl Mistake {
    /// A mistake in `field`, whose message says all.
    pub(crate) fn new(at: Position, field: &str, message: impl Into<String>) -> Self {
        Self {
            at,
            field: field.to_owned(),
            message: message.into(),
            allowed: None,
        }
    }

    /// Adds what would be right.
    pub(crate) fn allowing(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// The same in a file.
    pub(crate) fn in_file(self, file: &str) -> Problem {
        Problem {
            file: file.to_owned(),
            line: self.at.line,
            column: self.at.column,
            field: self.field,
            message: self.message,
            allowed: self.allowed,
        }
    }
}

/// Something wrong in a file. Shown as `FILE:LINE:COLUMN: FIELD: what is wrong; what is allowed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The field, for example `spec.resource.host`; empty when it is about no field.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What would be right, where the message does not say it.
    pub allowed: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(formatter, "{}: ", self.field)?;
        }
        formatter.write_str(&self.message)?;
        match &self.allowed {
            Some(allowed) => write!(formatter, "; {allowed}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
