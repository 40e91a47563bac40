//! Which messages of the Model Context Protocol a grant allows.

use lanyard_access::mcp::{McpRule as CheckedRule, NamePattern};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field::FieldErrors;

/// Messages of the Model Context Protocol.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct McpRule {
    /// The methods, for example tools/list or resources/*; without them, every method. `*` stands at the
    /// end alone. Calls of tools are by tools alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::text::name_patterns")]
    pub methods: Vec<String>,
    /// The tools that may be called, for example `create_issue` or `get_*`; without it, every tool. The server's
    /// list is shown to the agent without the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::name_patterns")]
    pub tools: Option<Vec<String>>,
}

impl McpRule {
    /// The checked form, or notes of what is wrong.
    pub(super) fn check(&self, path: &str, errors: &mut FieldErrors) -> Option<CheckedRule> {
        let mut check = |field: &str, names: &[String]| -> Option<Vec<NamePattern>> {
            let names = names.iter().enumerate();
            let names = names
                .map(|(index, name)| errors.keep(format!("{path}.{field}[{index}]"), name.parse()));
            names.collect::<Vec<_>>().into_iter().collect()
        };
        let methods = check("methods", &self.methods);
        let tools = match &self.tools {
            Some(tools) => check("tools", tools).map(Some),
            None => Some(None),
        };
        Some(CheckedRule {
            methods: methods?,
            tools: tools?,
        })
    }
}
