//! Long files: a question for the reader of a change, not a failure.

use super::source::Sources;

const LONG: usize = 400;

/// One line for each file that is worth the question.
pub(crate) fn notes(sources: &Sources) -> Vec<String> {
    let mut long: Vec<(usize, String)> = sources
        .iter()
        .map(|(path, text)| (text.lines().count(), path.display().to_string()))
        .filter(|(lines, _)| *lines > LONG)
        .collect();
    long.sort_by(|a, b| b.cmp(a));
    long.into_iter()
        .map(|(lines, path)| format!("note: {path} has {lines} lines: is it one idea?"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_file_is_asked_about_first() {
        let (long, longer) = ("\n".repeat(LONG + 1), "\n".repeat(LONG + 2));
        let notes = notes(&Sources::from([
            ("a.rs", long.as_str()),
            ("b.rs", longer.as_str()),
            ("c.rs", "\n"),
        ]));
        assert_eq!(notes.len(), 2);
        assert!(notes[0].contains("b.rs has 402 lines"), "{notes:?}");
    }
}
