//! What has to be true of each request.

use lanyard_access::condition::Condition as CheckedCondition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{field::FieldErrors, text::IS_NO_LINE};

/// Something that has to be true of a request.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// An expression of CEL that is true or false, for example `request.headers['x-team'] == 'red'` or
    /// `mcp.arguments.amount <= 100`. It knows request.method, request.path (decoded), request.query,
    /// request.headers (names in lower case), request.host and request.port; with the protocol MCP also
    /// mcp.method, mcp.tool and mcp.arguments; and agent.namespace, agent.name and agent.level. One that speaks of
    /// mcp.tool or mcp.arguments is asked of calls of tools alone, one that speaks of mcp.method of messages
    /// alone, every other of every request. What it cannot decide, because the request lacks what it asks
    /// for, is refused: ask with has(...) first.
    #[schemars(schema_with = "crate::text::expression")]
    pub expression: String,
    /// What a refusal says, to the agent too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::message")]
    pub message: Option<String>,
}

impl Condition {
    /// The checked form, or notes of what is wrong.
    pub(super) fn check(&self, path: &str, errors: &mut FieldErrors) -> Option<CheckedCondition> {
        let expression = errors.keep(format!("{path}.expression"), self.expression.parse());
        let message = self.message.as_deref().unwrap_or_default();
        if message.chars().any(char::is_control) {
            errors.add(format!("{path}.message"), IS_NO_LINE);
        }
        Some(CheckedCondition {
            expression: expression?,
            message: self.message.clone(),
        })
    }
}
