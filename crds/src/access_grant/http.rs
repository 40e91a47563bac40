//! Which requests a grant allows.

use std::collections::BTreeSet;

use lanyard_access::{http::HttpRule as CheckedRule, path::PathTemplate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field::FieldErrors;

/// Requests with one of these methods for one of these paths.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRule {
    /// The methods, in capital letters; without them, every method. GET allows HEAD too. CONNECT and TRACE
    /// are carried under no grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::text::methods")]
    pub methods: Vec<String>,
    /// The paths, as a template, for example /repos/acme/{repo}/issues or /v1/**; without it, every path.
    /// `*` and `{name}` stand for one part that is not empty, `**` at the end for the rest, however many
    /// parts that is. All else is plain text, written decoded, and compared with the decoded path in its
    /// own case. The query does not count. A path that can be read in more than one way (with `.`, `..`,
    /// `//` or an encoded separator) is no path of any template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::path_template")]
    pub path: Option<String>,
}

impl HttpRule {
    /// The checked form, or notes of what is wrong.
    pub(super) fn check(&self, path: &str, errors: &mut FieldErrors) -> Option<CheckedRule> {
        let methods =
            self.methods.iter().enumerate().map(|(index, method)| {
                errors.keep(format!("{path}.methods[{index}]"), method.parse())
            });
        let methods: Option<BTreeSet<_>> = methods.collect::<Vec<_>>().into_iter().collect();
        let template: Option<Option<PathTemplate>> = match &self.path {
            Some(text) => errors.keep(format!("{path}.path"), text.parse()).map(Some),
            None => Some(None),
        };
        Some(CheckedRule {
            methods: methods?,
            path: template?,
        })
    }
}
