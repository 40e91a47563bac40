//! The names by which Lanyard's API is known, each written once.
//!
//! The `#[kube(...)]` attributes take literals only; a test below holds them to these.

/// The API group of every kind.
pub const GROUP: &str = "lanyard.dev";

/// The version of every kind.
pub const VERSION: &str = "v1alpha1";

/// Group and version, as manifests write them.
pub const API_VERSION: &str = "lanyard.dev/v1alpha1";

/// The category of every kind: `kubectl get lanyard` lists them all.
pub const CATEGORY: &str = "lanyard";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn every_kind_is_of_this_group_version_and_category() {
        assert_eq!(API_VERSION, format!("{GROUP}/{VERSION}"));
        for kind in Kind::ALL {
            let definition = kind.definition();
            assert_eq!(definition.spec.group, GROUP);
            assert_eq!(definition.spec.names.kind, kind.as_str());
            assert_eq!(
                definition.spec.names.categories,
                Some(vec![CATEGORY.to_owned()])
            );
            let versions: Vec<&str> = definition
                .spec
                .versions
                .iter()
                .map(|version| version.name.as_str())
                .collect();
            assert_eq!(versions, [VERSION]);
        }
    }
}
