//! Definitions as templates of the chart `lanyard-crds`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::definition::manifest;

/// What a template has where the manifest has only the name.
const METADATA: &str = r#"
  annotations:
    {{- include "lanyard-crds.annotations" . | nindent 4 }}
  labels:
    {{- include "lanyard-crds.labels" . | nindent 4 }}
"#;

/// The template of a definition.
///
/// # Panics
///
/// Where the definition has text that Helm would take for its own.
pub(crate) fn template(definition: &CustomResourceDefinition) -> String {
    let manifest = manifest(definition);
    assert!(!manifest.contains("{{"), "Helm would read a part of it");
    let name = definition.metadata.name.as_deref().expect("a name");
    let line = format!("\n  name: {name}\n");
    let (before, after) = manifest.split_once(&line).expect("a line with the name");
    assert!(before.ends_with("\nmetadata:"), "{before}");
    format!("{before}{}{METADATA}{after}", line.trim_end())
}
