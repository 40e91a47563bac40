//! Names of API objects, as Kubernetes checks them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a name is not the name of an object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseNameError {
    /// The name has no characters.
    #[error("a name is empty")]
    Empty,
    /// The name is longer than Kubernetes allows.
    #[error("`{name}` has {length} characters; at most {limit} are allowed")]
    TooLong {
        /// The name as it was written.
        name: String,
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A character or its place is not allowed.
    #[error(
        "`{0}` is not a name: use lower-case letters, digits, `-`{dots}, and start and end with a letter or digit",
        dots = if *.1 { " and `.`" } else { "" }
    )]
    BadCharacter(String, bool),
}

fn check(text: &str, limit: usize, dots: bool) -> Result<(), ParseNameError> {
    if text.is_empty() {
        return Err(ParseNameError::Empty);
    }
    if text.len() > limit {
        return Err(ParseNameError::TooLong {
            name: text.to_owned(),
            length: text.len(),
            limit,
        });
    }
    let labels_are_good = text.split('.').all(|label| {
        let bytes = label.as_bytes();
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        edge(bytes.first())
            && edge(bytes.last())
            && bytes
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
    });
    if !labels_are_good || (!dots && text.contains('.')) {
        return Err(ParseNameError::BadCharacter(text.to_owned(), dots));
    }
    Ok(())
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $limit:expr, $dots:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseNameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check(text, $limit, $dots)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseNameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

checked_name! {
    /// The name of an object: an RFC 1123 subdomain of at most 253 characters.
    ObjectName, 253, true
}

checked_name! {
    /// The name of a namespace: an RFC 1123 label of at most 63 characters.
    Namespace, 63, false
}

checked_name! {
    /// The name of a container in its pod: an RFC 1123 label of at most 63 characters.
    ContainerName, 63, false
}

/// Why text is not an [`ObjectKey`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseObjectKeyError {
    /// The part before the slash is no namespace.
    #[error("no namespace before the slash: {0}")]
    Namespace(ParseNameError),
    /// The part after the slash is no name.
    #[error("no name of an object: {0}")]
    Name(ParseNameError),
}

/// Namespace and name of an object; as text `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey {
    /// The namespace.
    pub namespace: Namespace,
    /// The name.
    pub name: ObjectName,
}

impl ObjectKey {
    /// The namespace that `name` without a slash stands in.
    pub const DEFAULT_NAMESPACE: &'static str = "default";

    /// The key that no key of `namespace` stands before: `0` is the first of all names.
    pub(crate) fn first_in(namespace: Namespace) -> Self {
        Self {
            namespace,
            name: ObjectName("0".to_owned()),
        }
    }

    /// Reads `[NAMESPACE/]NAME`.
    pub fn parse(text: &str) -> Result<Self, ParseObjectKeyError> {
        let (namespace, name) = text
            .split_once('/')
            .unwrap_or((Self::DEFAULT_NAMESPACE, text));
        Ok(Self {
            namespace: namespace.parse().map_err(ParseObjectKeyError::Namespace)?,
            name: name.parse().map_err(ParseObjectKeyError::Name)?,
        })
    }
}

impl FromStr for ObjectKey {
    type Err = ParseObjectKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = ParseObjectKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// What tells one life of an object from the next of the same name: the API server's `metadata.uid`,
/// or in local mode one that is made when the object is first read and kept with the state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(String);

impl Uid {
    /// Takes a uid as it is: only its equality means something.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The uid as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_kubernetes_refuses_are_refused() {
        for bad in [
            "",
            "A",
            "a_b",
            "-a",
            "a-",
            "a..b",
            "a b",
            "ä",
            &"a".repeat(254),
        ] {
            assert!(bad.parse::<ObjectName>().is_err(), "{bad:?} was accepted");
        }
        assert!("a.b".parse::<Namespace>().is_err());
        assert!("a".repeat(64).parse::<Namespace>().is_err());
    }

    #[test]
    fn names_kubernetes_accepts_are_accepted() {
        for good in ["a", "deploy-bot", "a.b-c.9", &"a".repeat(253)] {
            assert_eq!(good.parse::<ObjectName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn no_name_stands_before_the_first_one() {
        let first = ObjectKey::first_in("a".parse().unwrap());
        assert!(first <= "a/0".parse().unwrap());
        assert!(first < "a/0-0".parse().unwrap());
        assert!(first < "a/a".parse().unwrap());
    }

    #[test]
    fn a_key_without_namespace_stands_in_default() {
        assert_eq!(ObjectKey::parse("bot").unwrap().to_string(), "default/bot");
        assert_eq!(
            ObjectKey::parse("team/bot").unwrap().to_string(),
            "team/bot"
        );
        assert!(ObjectKey::parse("a/b/c").is_err());
    }
}
