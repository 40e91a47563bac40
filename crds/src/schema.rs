//! The schemas that texts are held to: the API server's own, and those of local files.

pub(crate) mod closest;
pub(crate) mod shape;

use std::sync::LazyLock;

use kube::core::cel::{CompiledSchema, apply_defaults, compile_schema, validate_compiled};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::{
    access_grant::ANNOTATIONS,
    kind::Kind,
    problem::Mistake,
    text::{label_name, object_name},
    yaml::Node,
};

/// A schema and its rules, ready for use.
pub(crate) struct Schema {
    pub(crate) document: Value,
    rules: CompiledSchema,
}

impl Schema {
    fn new(document: Value) -> Self {
        Self {
            rules: compile_schema(&document),
            document,
        }
    }

    /// The schema of a file that is read into `T`.
    pub(crate) fn of_file<T: JsonSchema>() -> Self {
        let schema = generator().into_root_schema_for::<T>();
        Self::new(schema.to_value())
    }

    /// The schema of the objects of a kind.
    pub(crate) fn of_kind(kind: Kind) -> &'static Self {
        static SCHEMAS: LazyLock<[Schema; 3]> =
            LazyLock::new(|| Kind::ALL.map(|kind| Schema::new(object_schema(kind))));
        let [identity, grant, credential] = &*SCHEMAS;
        match kind {
            Kind::AgentIdentity => identity,
            Kind::AccessGrant => grant,
            Kind::CredentialSource => credential,
        }
    }

    /// The value of `node` with defaults filled in, if it has the form that this schema demands.
    pub(crate) fn read(&self, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Value> {
        let before = mistakes.len();
        let value = shape::read(node, &self.document, mistakes);
        (mistakes.len() == before).then(|| apply_defaults(&self.document, &value))
    }

    /// The rules that `value` breaks, now that it follows `old` or is new.
    pub(crate) fn broken_rules(&self, value: &Value, old: Option<&Value>) -> Vec<BrokenRule> {
        let broken = validate_compiled(&self.rules, value, old);
        let errors = broken.err().into_iter().flatten();
        errors
            .map(|error| BrokenRule {
                field: error.field_path,
                message: error.message,
            })
            .collect()
    }
}

/// A rule that a value breaks.
pub(crate) struct BrokenRule {
    /// The field to look at.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator()
}

/// The whole of an object: what its definition tells the API server, and of the metadata what Lanyard
/// reads. The rest of it, and the status, may be written by others: it is accepted and ignored.
fn object_schema(kind: Kind) -> Value {
    let mut definition = kind.definition();
    let version = definition.spec.versions.pop();
    let written = version.and_then(|version| version.schema?.open_api_v3_schema);
    let written = json!(written);
    let mut metadata = json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": object_name(&mut generator()),
            "namespace": label_name(&mut generator()),
        },
    });
    for ignored in [
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generation",
        "labels",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    ] {
        metadata["properties"][ignored] = json!({});
    }
    let ours = ANNOTATIONS.map(|name| (name.to_owned(), json!({ "type": "string" })));
    metadata["properties"]["annotations"] = json!({
        "type": "object",
        "properties": serde_json::Map::from_iter(ours),
        "additionalProperties": true,
    });
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": metadata,
            "spec": written["properties"]["spec"],
            "status": {},
        },
    })
}
