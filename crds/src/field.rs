//! A field of an object that cannot be what it says.

use std::fmt::{self, Display};

/// What is wrong with one field, said to the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where in the object, for example `spec.resource.host`.
    pub path: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.message)
    }
}

/// Collects what is wrong, so that a person learns all of it at once.
#[derive(Debug, Default)]
pub(crate) struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Notes that the field at `path` is wrong.
    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl Display) {
        self.0.push(FieldError {
            path: path.into(),
            message: message.to_string(),
        });
    }

    /// The value, or nothing and a note that the field at `path` is wrong.
    pub(crate) fn keep<T, E: Display>(
        &mut self,
        path: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(path, error)).ok()
    }

    /// The checked form if nothing was noted. It is `None` only when something was.
    pub(crate) fn finish<T>(self, checked: Option<T>) -> Result<T, Vec<FieldError>> {
        match checked {
            Some(checked) if self.0.is_empty() => Ok(checked),
            _ => Err(self.0),
        }
    }
}
