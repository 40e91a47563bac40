//! Finds `.rs` files that no crate reaches. Such a file is not compiled, so its tests do not run
//! and its errors are not seen, while people go on editing it.
//!
//! The walk starts at each target's root and follows `mod name;`, `#[path]` and `include!`,
//! whatever `cfg` guards them. Rules of where a module's file is: the Rust Reference, "Modules".

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::source::Sources;
use super::{Subject, Verdict};

/// The check.
pub(crate) fn check(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let root = &subject.context.root;
    let targets = subject
        .workspace
        .packages
        .iter()
        .flat_map(|package| &package.targets);
    let roots: Vec<PathBuf> = targets
        .filter_map(|target| target.src_path.strip_prefix(root).ok().map(Path::to_owned))
        .collect();
    let unreached = unreached(&subject.sources, &roots)?;
    Ok(Verdict::of(
        &unreached
            .iter()
            .map(|path| format!("{}: no crate declares this file", path.display()))
            .collect::<Vec<_>>(),
    ))
}

/// The files that cannot be reached from any of `roots`.
fn unreached(sources: &Sources, roots: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut walk = Walk {
        sources,
        reached: BTreeSet::new(),
    };
    for root in roots {
        walk.file(root, true)?;
    }
    Ok(sources
        .iter()
        .map(|(path, _)| path)
        .filter(|path| !walk.reached.contains(*path))
        .map(Path::to_owned)
        .collect())
}

struct Walk<'a> {
    sources: &'a Sources,
    reached: BTreeSet<PathBuf>,
}

/// Where the modules of a piece of source are looked for.
struct Place<'a> {
    /// The folder of the file itself.
    file_folder: &'a Path,
    /// The folder of files for `mod name;`.
    module_folder: PathBuf,
    /// Inside `mod name { .. }`, where `#[path]` counts from the module's folder.
    is_inline: bool,
}

impl Walk<'_> {
    /// `owns_folder`: crate roots, `mod.rs` and files named by `#[path]` keep their modules beside
    /// themselves; others in a folder of their own name.
    fn file(&mut self, path: &Path, owns_folder: bool) -> anyhow::Result<()> {
        let Some(text) = self.sources.get(path) else {
            return Ok(());
        };
        if !self.reached.insert(path.to_owned()) {
            return Ok(());
        }
        let tokens: TokenStream = text
            .parse()
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("read {}", path.display()))?;
        let file_folder = path.parent().unwrap_or(Path::new(""));
        let owns_folder = owns_folder || path.file_name().is_some_and(|name| name == "mod.rs");
        let module_folder = if owns_folder {
            file_folder.to_owned()
        } else {
            path.with_extension("")
        };
        self.tokens(
            tokens,
            &Place {
                file_folder,
                module_folder,
                is_inline: false,
            },
        )
    }

    fn tokens(&mut self, tokens: TokenStream, place: &Place<'_>) -> anyhow::Result<()> {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut named_path = None;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let rest = tokens.get(at + 1..).unwrap_or_default();
            match (token, rest) {
                (TokenTree::Punct(punct), [TokenTree::Group(attribute), ..])
                    if punct.as_char() == '#' && attribute.delimiter() == Delimiter::Bracket =>
                {
                    named_path = path_of(attribute).or(named_path);
                    at += 1;
                }
                (TokenTree::Ident(word), [TokenTree::Ident(name), TokenTree::Punct(end), ..])
                    if word == "mod" && end.as_char() == ';' =>
                {
                    self.declared(&name.to_string(), named_path.take(), place)?;
                    at += 2;
                }
                (TokenTree::Ident(word), [TokenTree::Ident(name), TokenTree::Group(body), ..])
                    if word == "mod" && body.delimiter() == Delimiter::Brace =>
                {
                    self.inline(&name.to_string(), named_path.take(), body, place)?;
                    at += 2;
                }
                (
                    TokenTree::Ident(word),
                    [TokenTree::Punct(mark), TokenTree::Group(argument), ..],
                ) if mark.as_char() == '!' && word.to_string().starts_with("include") => {
                    self.included(&word.to_string(), argument, place)?;
                    at += 2;
                }
                (TokenTree::Group(group), _) => {
                    self.tokens(group.stream(), place)?;
                    if group.delimiter() == Delimiter::Brace {
                        named_path = None;
                    }
                }
                (TokenTree::Punct(punct), _) if punct.as_char() == ';' => named_path = None,
                _ => {}
            }
            at += 1;
        }
        Ok(())
    }

    fn declared(
        &mut self,
        name: &str,
        named: Option<String>,
        place: &Place<'_>,
    ) -> anyhow::Result<()> {
        if let Some(named) = named {
            let base = if place.is_inline {
                &place.module_folder
            } else {
                place.file_folder
            };
            return self.file(&normal(&base.join(named)), true);
        }
        let name = name.trim_start_matches("r#");
        self.file(&place.module_folder.join(format!("{name}.rs")), false)?;
        self.file(&place.module_folder.join(name).join("mod.rs"), true)
    }

    fn inline(
        &mut self,
        name: &str,
        named: Option<String>,
        body: &Group,
        place: &Place<'_>,
    ) -> anyhow::Result<()> {
        let folder = match named {
            Some(named) => normal(&place.file_folder.join(named)),
            None => place.module_folder.join(name.trim_start_matches("r#")),
        };
        self.tokens(
            body.stream(),
            &Place {
                file_folder: place.file_folder,
                module_folder: folder,
                is_inline: true,
            },
        )
    }

    /// `include!` compiles the file; `include_str!` and `include_bytes!` at least use it.
    fn included(&mut self, word: &str, argument: &Group, place: &Place<'_>) -> anyhow::Result<()> {
        let Some(name) = argument
            .stream()
            .into_iter()
            .next()
            .and_then(|token| text_of(&token))
        else {
            return Ok(());
        };
        let path = normal(&place.file_folder.join(name));
        if word == "include" {
            return self.file(&path, true);
        }
        self.reached.insert(path);
        Ok(())
    }
}

/// The value of `#[path = ".."]`, also inside `cfg_attr`.
fn path_of(attribute: &Group) -> Option<String> {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let TokenTree::Ident(name) = tokens.first()? else {
        return None;
    };
    if name == "cfg_attr" {
        let TokenTree::Group(arguments) = tokens.get(1)? else {
            return None;
        };
        return value_of_path(&arguments.stream().into_iter().collect::<Vec<_>>());
    }
    (name == "path").then(|| value_of_path(&tokens))?
}

fn value_of_path(tokens: &[TokenTree]) -> Option<String> {
    tokens.windows(3).find_map(|window| match window {
        [TokenTree::Ident(word), TokenTree::Punct(equals), value]
            if word == "path" && equals.as_char() == '=' =>
        {
            text_of(value)
        }
        _ => None,
    })
}

fn text_of(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else {
        return None;
    };
    Some(
        literal
            .to_string()
            .strip_prefix('"')?
            .strip_suffix('"')?
            .to_owned(),
    )
}

/// Takes `.` and `..` out of a path, as text.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                normal.push(component);
            }
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead<const N: usize>(files: [(&str, &str); N], roots: &[&str]) -> Vec<String> {
        let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
        let unreached = unreached(&Sources::from(files), &roots).unwrap();
        unreached
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }

    #[test]
    fn a_file_that_nobody_declares_is_found() {
        let files = [
            ("a/src/lib.rs", "mod used;"),
            ("a/src/used.rs", ""),
            ("a/src/tests/server.rs", "#[test] fn t() {}"),
        ];
        assert_eq!(dead(files, &["a/src/lib.rs"]), ["a/src/tests/server.rs"]);
    }

    #[test]
    fn modules_are_followed_down_their_folders() {
        let files = [
            ("src/main.rs", "mod a; mod b;"),
            ("src/a.rs", "pub(crate) mod deep;"),
            ("src/a/deep.rs", "#[cfg(test)] mod tests;"),
            ("src/a/deep/tests.rs", ""),
            ("src/b/mod.rs", "mod c;"),
            ("src/b/c.rs", ""),
        ];
        assert!(dead(files, &["src/main.rs"]).is_empty());
    }

    #[test]
    fn a_module_of_the_same_name_elsewhere_does_not_count() {
        let files = [
            ("src/lib.rs", "mod a;"),
            ("src/a.rs", "mod b;"),
            ("src/b.rs", ""),
            ("src/a/b.rs", ""),
        ];
        assert_eq!(dead(files, &["src/lib.rs"]), ["src/b.rs"]);
    }

    #[test]
    fn paths_and_includes_are_followed() {
        let files = [
            (
                "tests/t.rs",
                "#[path = \"../shared/fixture.rs\"] mod fixture; include!(\"table.rs\");",
            ),
            ("shared/fixture.rs", "mod beside;"),
            ("shared/beside.rs", ""),
            ("tests/table.rs", ""),
            ("tests/text.rs", ""),
            (
                "src/lib.rs",
                "const T: &str = include_str!(\"../tests/text.rs\"); mod out { include!(concat!(env!(\"OUT_DIR\"), \"/x.rs\")); }",
            ),
        ];
        assert!(dead(files, &["src/lib.rs", "tests/t.rs"]).is_empty());
    }

    #[test]
    fn inline_modules_name_a_folder() {
        let files = [
            (
                "src/lib.rs",
                "mod outer { mod inner; #[path = \"other.rs\"] mod named; }",
            ),
            ("src/outer/inner.rs", ""),
            ("src/outer/other.rs", ""),
        ];
        assert!(dead(files, &["src/lib.rs"]).is_empty());
    }

    #[test]
    fn a_path_is_of_the_module_it_stands_before() {
        let files = [
            (
                "src/lib.rs",
                "#[cfg_attr(unix, path = \"u.rs\")] pub(crate) mod a; #[arg(path = \"x.rs\")] struct S {} mod b;",
            ),
            ("src/u.rs", ""),
            ("src/b.rs", ""),
            ("src/x.rs", ""),
        ];
        assert_eq!(dead(files, &["src/lib.rs"]), ["src/x.rs"]);
    }

    #[test]
    fn a_declaration_in_a_comment_or_a_string_declares_nothing() {
        let files = [
            ("src/lib.rs", "// mod a;\nconst S: &str = \"mod a;\";"),
            ("src/a.rs", ""),
        ];
        assert_eq!(dead(files, &["src/lib.rs"]), ["src/a.rs"]);
    }

    #[test]
    fn modules_declared_by_a_macro_are_reached() {
        let files = [
            ("src/lib.rs", "cfg_linux! { mod linux; }"),
            ("src/linux.rs", ""),
        ];
        assert!(dead(files, &["src/lib.rs"]).is_empty());
    }
}
