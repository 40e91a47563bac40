//! Every CEL rule: what it refuses and with which message, and what it lets pass, evaluated without a
//! cluster by kube's own CEL.

mod admitted;
mod cases;

use std::collections::BTreeSet;

use cases::{Case, Verdict};
use lanyard_crds::kind::Kind;
use serde_json::{Value, json};

#[test]
fn every_case_has_its_verdict() {
    for case in cases::all() {
        let found = case.evaluate();
        match case.verdict {
            Verdict::Accepted => assert_eq!(found, [] as [String; 0], "{case:#?}"),
            Verdict::Refused(field, message) => {
                assert_eq!(found, [format!("{field}: {message}")], "{case:#?}");
            }
        }
    }
}

#[test]
fn every_rule_refuses_something() {
    let tested: BTreeSet<(Kind, String)> = cases::all()
        .iter()
        .filter_map(|case| match case.verdict {
            Verdict::Accepted => None,
            Verdict::Refused(field, message) => Some((case.kind, format!("{field}: {message}"))),
        })
        .collect();
    for kind in Kind::ALL {
        let definition = kind.definition();
        let schema = json!(definition.spec.versions[0].schema);
        let mut rules = Vec::new();
        collect(&schema["openAPIV3Schema"], "", &mut rules);
        for rule in rules {
            assert!(
                tested.contains(&(kind, rule.clone())),
                "{kind}: no case breaks {rule}"
            );
        }
    }
}

#[test]
fn every_kind_has_an_object_that_is_accepted() {
    for kind in Kind::ALL {
        let accepted = |case: &Case| case.kind == kind && case.verdict == Verdict::Accepted;
        assert!(cases::all().iter().any(accepted), "{kind}");
    }
}

/// The field and message of every rule, with the first item standing for a list's.
fn collect(schema: &Value, path: &str, rules: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let field = rule["fieldPath"].as_str().unwrap_or_default();
        let message = rule["message"].as_str().unwrap_or_default();
        rules.push(format!(
            "{}{field}: {message}",
            path.trim_start_matches('.')
        ));
    }
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        collect(property, &format!("{path}.{key}"), rules);
    }
    if !schema["items"].is_null() {
        collect(&schema["items"], &format!("{path}[0]"), rules);
    }
}
