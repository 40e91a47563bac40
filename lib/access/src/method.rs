//! Methods of requests.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not a [`Method`] that a rule can name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseMethodError {
    /// Other than capital letters and hyphens.
    #[error("`{0}` is not a method: write it in capital letters, for example GET or POST")]
    Form(String),
    /// A method that is never carried.
    #[error(
        "`{0}` is carried under no grant: CONNECT opens a tunnel, TRACE shows what Lanyard puts in"
    )]
    NeverCarried(String),
}

/// A method that a rule can name. Methods are case-sensitive (RFC 9110, 9.1); the ones in use are capitals.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Method(String);

impl Method {
    /// Whether a rule that names this method allows a request with `method`. A HEAD asks for less than
    /// the GET of the same target (RFC 9110, 9.3.2).
    pub fn allows(&self, method: &str) -> bool {
        self.0 == method || (self.0 == "GET" && method == "HEAD")
    }

    /// The method as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Method {
    type Err = ParseMethodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
        let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_uppercase());
        let is_method = text.len() <= 32
            && text.bytes().all(is_plain)
            && is_edge(text.bytes().next())
            && is_edge(text.bytes().last());
        if !is_method {
            return Err(ParseMethodError::Form(text.to_owned()));
        }
        if matches!(text, "CONNECT" | "TRACE") {
            return Err(ParseMethodError::NeverCarried(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for Method {
    type Error = ParseMethodError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_methods_that_can_be_carried_are_named() {
        for good in ["GET", "POST", "VERSION-CONTROL", "M-SEARCH"] {
            assert_eq!(good.parse::<Method>().unwrap().as_str(), good);
        }
        for bad in [
            "", "get", "G T", "-GET", "GET-", "G3T", "GET\n", "CONNECT", "TRACE",
        ] {
            assert!(bad.parse::<Method>().is_err(), "{bad}");
        }
    }

    #[test]
    fn get_allows_head_and_nothing_else_does() {
        let get: Method = "GET".parse().unwrap();
        assert!(get.allows("GET") && get.allows("HEAD"));
        assert!(!get.allows("get") && !get.allows("POST"));
        let head: Method = "HEAD".parse().unwrap();
        assert!(!head.allows("GET"));
    }
}
