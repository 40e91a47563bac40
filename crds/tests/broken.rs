//! Broken files, one for each kind of mistake.
//!
//! Each file in `tests/broken` begins with the problems that reading it must report, each in a comment
//! of the form `#: LINE:COLUMN: FIELD: what is wrong; what is allowed`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lanyard_crds::{local_policy, manifest, problem::Problem};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/broken", folder]
        .iter()
        .collect();
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .collect();
    files.sort();
    files
}

fn expected(file: &Path) -> Vec<String> {
    let bytes = fs::read(file).expect("the file can be read");
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map_while(|line| line.strip_prefix("#: "));
    lines.map(str::to_owned).collect()
}

fn reported(file: &Path, problems: &[Problem]) -> Vec<String> {
    let path = format!("{}:", file.display());
    let lines = problems
        .iter()
        .map(|problem| problem.to_string().replace(&path, ""));
    lines.collect()
}

#[test]
fn every_broken_manifest_is_refused_with_its_problems() {
    let files = files("manifests");
    assert!(files.len() >= 40);
    for file in files {
        let problems = manifest::read_file(&file).expect_err(&file.display().to_string());
        assert_eq!(
            reported(&file, &problems),
            expected(&file),
            "{}",
            file.display()
        );
    }
}

#[test]
fn every_broken_local_policy_is_refused_with_its_problems() {
    for file in files("local_policies") {
        let problems = local_policy::read_file(&file).expect_err(&file.display().to_string());
        assert_eq!(
            reported(&file, &problems),
            expected(&file),
            "{}",
            file.display()
        );
    }
}
