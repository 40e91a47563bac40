//! Every `--help` text is a file: `UPDATE_GOLDEN=1` rewrites them.

use std::{env, fs, path::PathBuf, process::Command};

const PAGES: [(&str, &[&str]); 21] = [
    ("lanyard", &[]),
    ("up", &["up"]),
    ("down", &["down"]),
    ("run", &["run"]),
    ("apply", &["apply"]),
    ("get", &["get"]),
    ("delete", &["delete"]),
    ("status", &["status"]),
    ("suggest", &["suggest"]),
    ("request", &["request"]),
    ("approve", &["approve"]),
    ("deny", &["deny"]),
    ("revoke", &["revoke"]),
    ("trust", &["trust"]),
    ("explain", &["explain"]),
    ("audit", &["audit"]),
    ("audit-tail", &["audit", "tail"]),
    ("doctor", &["doctor"]),
    ("completions", &["completions"]),
    ("man", &["man"]),
    ("session", &["session"]),
];

fn help(verb: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lanyard"))
        .args(verb)
        .arg("--help")
        .env_clear()
        .output()
        .expect("the command starts");
    assert!(output.status.success(), "{verb:?}: {output:?}");
    String::from_utf8(output.stdout).expect("help is text")
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/help")
}

#[test]
fn help_texts_are_current() {
    for (name, verb) in PAGES {
        let path = folder().join(name).with_extension("txt");
        let found = help(verb);
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &found).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            found,
            expected,
            "{} is not current: run the test again with UPDATE_GOLDEN=1",
            path.display()
        );
    }
}

#[test]
fn every_verb_has_its_text_and_every_text_its_verb() {
    let listed = help(&[]);
    let commands = listed
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help");
    for verb in commands {
        assert!(
            PAGES.iter().any(|(name, _)| *name == verb),
            "{verb} has no page"
        );
    }
    let mut files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut pages: Vec<_> = PAGES
        .iter()
        .map(|(name, _)| format!("{name}.txt"))
        .collect();
    files.sort();
    pages.sort();
    assert_eq!(files, pages);
}
