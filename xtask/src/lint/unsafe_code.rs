//! `unsafe` may stand in few places. The compiler's own lint can be opened by an attribute in any
//! file; this list cannot.

use std::path::Path;

use anyhow::Context as _;
use proc_macro2::{TokenStream, TokenTree};

use super::source::Sources;
use super::{Subject, Verdict};

/// A folder ends in a slash.
const ALLOWED: &[&str] = &["node-agent/", "broker/src/socket_tag.rs"];

/// The check.
pub(crate) fn check(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    Ok(Verdict::of(&complaints(&subject.sources)?))
}

fn complaints(sources: &Sources) -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (path, text) in sources.iter().filter(|(path, _)| !is_allowed(path)) {
        let tokens: TokenStream = text
            .parse()
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("read {}", path.display()))?;
        if has_unsafe(tokens) {
            complaints.push(format!(
                "{}: unsafe is allowed only in {}",
                path.display(),
                ALLOWED.join(" and ")
            ));
        }
    }
    Ok(complaints)
}

fn is_allowed(path: &Path) -> bool {
    ALLOWED
        .iter()
        .any(|allowed| match allowed.strip_suffix('/') {
            Some(folder) => path.starts_with(folder),
            None => path == Path::new(allowed),
        })
}

fn has_unsafe(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "unsafe",
        TokenTree::Group(group) => has_unsafe(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_found_outside_its_places() {
        let sources = Sources::from([
            ("broker/src/main.rs", "fn f() { unsafe { g() } }"),
            ("broker/src/socket_tag.rs", "fn f() { unsafe { g() } }"),
            (
                "node-agent/ebpf/src/main.rs",
                "#[unsafe(no_mangle)] fn f() {}",
            ),
            ("cli/src/main.rs", "#[unsafe(no_mangle)] fn f() {}"),
        ]);
        let complaints = complaints(&sources).unwrap();
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(
            complaints[0].starts_with("broker/src/main.rs")
                && complaints[1].starts_with("cli/src/main.rs")
        );
    }

    #[test]
    fn the_word_in_text_is_not_the_code() {
        let sources = Sources::from([(
            "cli/src/main.rs",
            "// unsafe\nconst S: &str = \"unsafe\"; #[deny(unsafe_code)] fn f() {}",
        )]);
        assert!(complaints(&sources).unwrap().is_empty());
    }

    #[test]
    fn a_folder_of_a_similar_name_is_not_the_folder() {
        assert!(!is_allowed(Path::new("node-agent-extras/src/lib.rs")));
        assert!(is_allowed(Path::new("node-agent/src/main.rs")));
    }
}
