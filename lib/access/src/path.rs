//! Paths of requests, and the templates that rules match them with.
//!
//! A path is compared as the service understands it, not as it is spelled: percent-encoding is taken away
//! first. A spelling that two programs can read in two ways matches no template, so that a rule for one path
//! is never a way to another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest template, in bytes.
const LONGEST: usize = 512;

/// Why the path of a request can be read in more than one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmbiguousPath {
    /// It does not begin with `/`.
    #[error("the path does not begin with `/`")]
    Relative,
    /// `%` without two hexadecimal digits behind it, or bytes that are not UTF-8.
    #[error("the path is not percent-encoded UTF-8")]
    Encoding,
    /// `.` or `..`, which some services resolve.
    #[error("the path has a part `.` or `..`")]
    Dots,
    /// `//`, which some services read as `/`.
    #[error("the path has an empty part")]
    Empty,
    /// A slash, a backslash, a control character or a second percent-encoding within a part.
    #[error("the path hides a separator, a control character or an encoding in a part")]
    Hidden,
}

/// The path of a request, part by part, decoded (RFC 3986, 3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath(Vec<String>);

impl RequestPath {
    /// Reads the path of a request target, without its query.
    pub fn parse(raw: &str) -> Result<Self, AmbiguousPath> {
        let rest = raw.strip_prefix('/').ok_or(AmbiguousPath::Relative)?;
        let parts: Vec<String> = rest.split('/').map(decode).collect::<Result<_, _>>()?;
        let Some((last, before)) = parts.split_last() else {
            return Err(AmbiguousPath::Relative);
        };
        if before.iter().any(String::is_empty) {
            return Err(AmbiguousPath::Empty);
        }
        for part in before.iter().chain([last]) {
            check_part(part)?;
        }
        Ok(Self(parts))
    }

    /// Its parts, decoded; a final `/` is an empty last part.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// What one service takes for a name, another may take for a direction.
fn check_part(part: &str) -> Result<(), AmbiguousPath> {
    // Servers of servlets take away what stands behind `;` before they resolve dots.
    let name = part.split(';').next().unwrap_or_default();
    if matches!(name, "." | "..") {
        return Err(AmbiguousPath::Dots);
    }
    if name.is_empty() && !part.is_empty() {
        return Err(AmbiguousPath::Empty);
    }
    let is_hidden = |c: char| matches!(c, '/' | '\\') || c.is_control();
    if part.contains(is_hidden) || is_encoded(part) {
        return Err(AmbiguousPath::Hidden);
    }
    Ok(())
}

fn decode(part: &str) -> Result<String, AmbiguousPath> {
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let high = bytes.next().and_then(hex_digit);
                let low = bytes.next().and_then(hex_digit);
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(AmbiguousPath::Encoding);
                };
                high << 4 | low
            }
            byte => byte,
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).map_err(|_| AmbiguousPath::Encoding)
}

/// Whether a part that was decoded once could be decoded again.
fn is_encoded(part: &str) -> bool {
    part.as_bytes().windows(3).any(|window| {
        window[0] == b'%' && hex_digit(window[1]).is_some() && hex_digit(window[2]).is_some()
    })
}

fn hex_digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// Why a text is not a [`PathTemplate`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseTemplateError {
    /// It does not begin with `/`.
    #[error("`{0}` does not begin with `/`")]
    Relative(String),
    /// More than any path that is meant.
    #[error("a path template has at most {LONGEST} characters")]
    TooLong,
    /// It has a query or a fragment.
    #[error("`{0}` has a `?` or `#`: a template is for the path alone")]
    Query(String),
    /// `**` elsewhere than at the end.
    #[error("`{0}` has `**` before its end: it stands for the rest of the path")]
    RestWithin(String),
    /// Braces or stars beside other characters.
    #[error(
        "`{0}` has a part that is half a placeholder: a part is plain text, `*`, `{{name}}`, or at the end `**`"
    )]
    Placeholder(String),
    /// Text that the path of a request never has when it is compared.
    #[error(
        "`{0}` has a part that no path has: write it decoded, without `%`, `.`, `..`, an empty part or a backslash"
    )]
    Never(String),
}

/// A path with placeholders: `*` or `{name}` for one part that is not empty, `**` at the end for the rest of
/// the path, however many parts that is. What has the same name must have the same value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathTemplate {
    parts: Vec<Part>,
    has_rest: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Text(String),
    Any,
    Named(String),
}

impl PathTemplate {
    /// The values of its named placeholders if the path is one it stands for.
    pub fn captures<'p>(&self, path: &'p RequestPath) -> Option<Vec<(&str, &'p str)>> {
        let fits = if self.has_rest {
            path.0.len() > self.parts.len()
        } else {
            path.0.len() == self.parts.len()
        };
        let mut captured: Vec<(&str, &str)> = Vec::new();
        for (part, value) in self.parts.iter().zip(path.parts()) {
            match part {
                Part::Text(text) if text == value => {}
                Part::Any if !value.is_empty() => {}
                Part::Named(name) if !value.is_empty() => {
                    let is_other = |(known, other): &(&str, &str)| known == name && *other != value;
                    if captured.iter().any(is_other) {
                        return None;
                    }
                    captured.push((name, value));
                }
                Part::Text(_) | Part::Any | Part::Named(_) => return None,
            }
        }
        fits.then_some(captured)
    }

    /// Whether the path is one it stands for.
    pub fn matches(&self, path: &RequestPath) -> bool {
        self.captures(path).is_some()
    }

    /// The names of its placeholders.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Named(name) => Some(name.as_str()),
            Part::Text(_) | Part::Any => None,
        })
    }
}

impl FromStr for PathTemplate {
    type Err = ParseTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LONGEST {
            return Err(ParseTemplateError::TooLong);
        }
        if text.contains(['?', '#']) {
            return Err(ParseTemplateError::Query(text.to_owned()));
        }
        let rest = text
            .strip_prefix('/')
            .ok_or_else(|| ParseTemplateError::Relative(text.to_owned()))?;
        let mut written: Vec<&str> = rest.split('/').collect();
        let has_rest = written.last() == Some(&"**");
        if has_rest {
            written.pop();
        }
        if written.contains(&"**") {
            return Err(ParseTemplateError::RestWithin(text.to_owned()));
        }
        let last = written.len().saturating_sub(1);
        let mut parts = Vec::with_capacity(written.len());
        for (place, part) in written.into_iter().enumerate() {
            if part.is_empty() && (place != last || has_rest) {
                return Err(ParseTemplateError::Never(text.to_owned()));
            }
            parts.push(parse_part(part, text)?);
        }
        Ok(Self { parts, has_rest })
    }
}

fn parse_part(part: &str, whole: &str) -> Result<Part, ParseTemplateError> {
    if part == "*" {
        return Ok(Part::Any);
    }
    let name = part
        .strip_prefix('{')
        .and_then(|part| part.strip_suffix('}'));
    if let Some(name) = name.filter(|name| is_name(name)) {
        return Ok(Part::Named(name.to_owned()));
    }
    if part.contains(['{', '}', '*']) {
        return Err(ParseTemplateError::Placeholder(whole.to_owned()));
    }
    if part.contains('%') || check_part(part).is_err() {
        return Err(ParseTemplateError::Never(whole.to_owned()));
    }
    Ok(Part::Text(part.to_owned()))
}

/// A name that CEL can read as a field.
fn is_name(name: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.len() <= 63
        && name.starts_with(begins)
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => write!(formatter, "/{text}")?,
                Part::Any => formatter.write_str("/*")?,
                Part::Named(name) => write!(formatter, "/{{{name}}}")?,
            }
        }
        if self.has_rest {
            formatter.write_str("/**")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for PathTemplate {
    type Error = ParseTemplateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PathTemplate> for String {
    fn from(template: PathTemplate) -> Self {
        template.to_string()
    }
}

#[cfg(test)]
mod tests;
