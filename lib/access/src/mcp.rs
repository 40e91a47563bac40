//! One message of the Model Context Protocol, and the rules of a grant that are about messages.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::reason::RefusalReason;

/// The method that calls a tool.
pub const CALL: &str = "tools/call";

/// The longest arguments of a tool, in bytes, that conditions look at.
pub const LONGEST_ARGUMENTS: usize = 64 << 10;

/// What of a message the rules are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpMessage {
    /// The method; nothing in an answer to the server.
    pub method: Option<String>,
    /// The name of the tool that is called.
    pub tool: Option<String>,
    /// The arguments of the tool, as JSON; an empty object where a call has none, and nothing where they are
    /// more than what is looked at.
    pub arguments: Option<String>,
}

/// Which messages a grant allows. Answers to what the server asks, and the stream that it asks on, are always
/// allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct McpRule {
    /// The methods, such as `resources/*`; every method when there are none. Calls of tools are by `tools`
    /// alone.
    pub methods: Vec<NamePattern>,
    /// The tools; every tool when it is absent.
    pub tools: Option<Vec<NamePattern>>,
}

impl McpRule {
    /// Whether that tool may be called, and is shown.
    pub fn allows_tool(&self, name: &str) -> bool {
        self.tools
            .as_ref()
            .is_none_or(|tools| tools.iter().any(|pattern| pattern.matches(name)))
    }

    /// Why a message is not allowed, if it is not.
    pub(crate) fn refusal_of(&self, message: &McpMessage) -> Option<RefusalReason> {
        let method = message.method.as_deref()?;
        if method == CALL {
            let tool = message.tool.as_deref();
            let is_allowed = tool.is_some_and(|tool| self.allows_tool(tool));
            return (!is_allowed).then_some(RefusalReason::ToolNotGranted);
        }
        let is_allowed =
            self.methods.is_empty() || self.methods.iter().any(|pattern| pattern.matches(method));
        (!is_allowed).then_some(RefusalReason::McpMethodNotGranted)
    }
}

/// Why a text is not a [`NamePattern`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a name: use letters, digits, `-`, `_`, `.`, `:` and `/`, at most 128, and `*` only at the end"
)]
pub struct ParsePatternError(String);

/// A name, or with `*` at its end all that begin so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    name: String,
    is_beginning: bool,
}

impl NamePattern {
    /// Whether the name is one it stands for.
    pub fn matches(&self, name: &str) -> bool {
        if self.is_beginning {
            name.starts_with(&self.name)
        } else {
            name == self.name
        }
    }
}

impl FromStr for NamePattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, is_beginning) = match text.strip_suffix('*') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
        if text.is_empty() || text.len() > 128 || !name.bytes().all(is_plain) {
            return Err(ParsePatternError(text.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            is_beginning,
        })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_beginning { "*" } else { "" };
        write!(formatter, "{}{star}", self.name)
    }
}

impl TryFrom<String> for NamePattern {
    type Error = ParsePatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<NamePattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn refused(rule: &McpRule, method: &str, tool: Option<&str>) -> Option<RefusalReason> {
        rule.refusal_of(&McpMessage {
            method: Some(method.into()),
            tool: tool.map(str::to_owned),
            arguments: None,
        })
    }

    #[test]
    fn a_tool_is_called_only_by_the_list_of_tools() {
        let rule = McpRule {
            methods: patterns(&["initialize", "tools/*", "notifications/*"]),
            tools: Some(patterns(&["get_*", "create_issue"])),
        };
        assert_eq!(refused(&rule, "tools/list", None), None);
        assert_eq!(refused(&rule, CALL, Some("get_issue")), None);
        assert_eq!(refused(&rule, CALL, Some("create_issue")), None);
        for tool in [
            Some("create_issues"),
            Some("delete_repo"),
            Some("Get_x"),
            None,
        ] {
            let reason = refused(&rule, CALL, tool);
            assert_eq!(reason, Some(RefusalReason::ToolNotGranted), "{tool:?}");
        }
        let other = refused(&rule, "resources/read", None);
        assert_eq!(other, Some(RefusalReason::McpMethodNotGranted));
        let answer = McpMessage {
            method: None,
            tool: None,
            arguments: None,
        };
        assert_eq!(rule.refusal_of(&answer), None);
    }

    #[test]
    fn without_lists_all_is_allowed_and_with_an_empty_one_no_tool() {
        assert_eq!(refused(&McpRule::default(), CALL, Some("any")), None);
        assert_eq!(refused(&McpRule::default(), "resources/read", None), None);
        let none = McpRule {
            methods: Vec::new(),
            tools: Some(Vec::new()),
        };
        assert_eq!(
            refused(&none, CALL, Some("any")),
            Some(RefusalReason::ToolNotGranted)
        );
    }

    #[test]
    fn a_pattern_is_a_name_or_a_beginning() {
        for text in ["get_*", "*", "a.b:c/d-e"] {
            assert_eq!(text.parse::<NamePattern>().unwrap().to_string(), text);
        }
        for bad in ["", "a*b", "**", "a b", "ä"] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
        }
    }
}
