//! Reading what Rust's test harness prints.

use crate::counts::Counts;

/// Adds up every `test result:` line.
pub(crate) fn sum(text: &str) -> Counts {
    text.lines().filter_map(of_line).sum()
}

/// The counts of one `test result:` line.
pub(crate) fn of_line(line: &str) -> Option<Counts> {
    let rest = line.trim().strip_prefix("test result: ")?;
    let (_, rest) = rest.split_once(". ")?;
    let count = |what: &str| -> Option<usize> {
        rest.split("; ")
            .find_map(|part| part.strip_suffix(what)?.trim().parse().ok())
    };
    Some(Counts {
        passed: count("passed")?,
        failed: count("failed")?,
        skipped: count("ignored")?,
    })
}

/// The counts of the lines that report one test: what there is of a program that was cut short.
pub(crate) fn tally(text: &str) -> Counts {
    let ends = text
        .lines()
        .filter(|line| reports_one_test(line))
        .filter_map(|line| line.rsplit_once(" ... "));
    ends.map(|(_, end)| match end {
        "ok" => Counts::passed(1),
        "FAILED" => Counts::failed(1),
        _ => Counts::skipped(1),
    })
    .sum()
}

/// Whether a line reports one test, as `test name ... ok` does.
pub(crate) fn reports_one_test(line: &str) -> bool {
    line.starts_with("test ") && line.contains(" ... ")
}

/// How many tests `--list --format terse` named.
pub(crate) fn listed(text: &str) -> usize {
    text.lines().filter(|line| line.ends_with(": test")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
test grant::tests::expired_grant_is_refused ... ok
test result_lines_are_found ... ok
test later ... ignored, needs root

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 2 tests
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.00s
";

    #[test]
    fn result_lines_are_added_up() {
        assert_eq!(
            sum(OUTPUT),
            Counts {
                passed: 3,
                failed: 1,
                skipped: 1
            }
        );
    }

    #[test]
    fn a_line_that_only_looks_like_a_result_is_not_one() {
        assert_eq!(of_line("test result_lines_are_found ... ok"), None);
        assert_eq!(of_line("test result: ok. many passed"), None);
        assert_eq!(
            of_line("the test result: ok. 1 passed; 0 failed; 0 ignored"),
            None
        );
    }

    #[test]
    fn single_tests_are_recognised() {
        assert_eq!(
            OUTPUT.lines().filter(|line| reports_one_test(line)).count(),
            3
        );
        assert!(!reports_one_test(
            "test result: ok. 2 passed; 0 failed; 1 ignored"
        ));
    }

    #[test]
    fn a_run_that_was_cut_short_is_counted_by_its_lines() {
        let cut = "running 9 tests\ntest a ... ok\ntest b ... FAILED\ntest c ... ignored, why\n";
        let one_each = Counts {
            passed: 1,
            failed: 1,
            skipped: 1,
        };
        assert_eq!(tally(cut), one_each);
        assert_eq!(tally("ok\n"), Counts::default());
    }

    #[test]
    fn listed_tests_are_counted() {
        assert_eq!(
            listed("a::b: test\nc: test\nd: benchmark\n\n2 tests, 1 benchmark\n"),
            2
        );
    }
}
