//! The demo as a test: it must end well, and each scene of it counts.

use super::harness::{self, Ended, Surroundings};
use crate::console::{quote, say};
use crate::counts::Counts;
use crate::demo;

/// Runs the demo and counts its scenes.
pub(crate) fn run(surroundings: &Surroundings) -> anyhow::Result<Counts> {
    let mut command = demo::command(surroundings);
    let ended = harness::watch(&mut command, |line| {
        if scene(line).is_some() {
            say(&format!("  {line}"));
        }
    })?;
    let counts = verdict(&ended);
    if counts.failed > 0 {
        quote(&ended.text);
    }
    Ok(counts)
}

fn verdict(ended: &Ended) -> Counts {
    let mut counts: Counts = ended.text.lines().filter_map(scene).sum();
    if counts.total() == 0 || !ended.status.is_some_and(|status| status.success()) {
        counts.failed = counts.failed.max(1);
    }
    counts
}

/// A scene ends with a line of its own: a check mark or a cross, and what was shown.
fn scene(line: &str) -> Option<Counts> {
    match line.split_once(' ')?.0 {
        "✓" => Some(Counts::passed(1)),
        "✗" => Some(Counts::failed(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn ended(code: i32, text: &str) -> Ended {
        Ended {
            status: Some(ExitStatus::from_raw(code << 8)),
            text: text.into(),
        }
    }

    #[test]
    fn each_scene_counts() {
        assert_eq!(
            verdict(&ended(0, "Scene 1\n  $ curl\n✓ refused\n✓ allowed\n")),
            Counts::passed(2)
        );
    }

    #[test]
    fn a_demo_that_ends_badly_has_failed() {
        assert_eq!(
            verdict(&ended(1, "✓ refused\n")),
            Counts {
                passed: 1,
                failed: 1,
                skipped: 0
            }
        );
        assert_eq!(verdict(&ended(0, "✓ refused\n✗ leaked\n")).failed, 1);
    }

    #[test]
    fn a_demo_without_scenes_has_failed() {
        assert_eq!(verdict(&ended(0, "nothing to see\n")), Counts::failed(1));
    }
}
