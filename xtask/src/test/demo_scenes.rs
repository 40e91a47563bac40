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
    let mark = if counts.failed == 0 { '✓' } else { '✗' };
    say(&format!("{mark} demo: {counts}"));
    Ok(counts)
}

/// A story that ends badly ends with the scene that differed.
fn verdict(ended: &Ended) -> Counts {
    let scenes = count(&ended.text);
    if scenes > 0 && ended.status.is_some_and(|status| status.success()) {
        return Counts::passed(scenes);
    }
    Counts {
        passed: scenes.saturating_sub(1),
        failed: 1,
        skipped: 0,
    }
}

/// Scenes are numbered from one; a number out of turn is part of what a scene shows.
fn count(text: &str) -> usize {
    text.lines().filter_map(scene).fold(
        0,
        |told, number| {
            if number == told + 1 { number } else { told }
        },
    )
}

/// The number of a line such as `3. The same curl with one byte changed is not the agent`.
fn scene(line: &str) -> Option<usize> {
    line.split_once(". ")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    const STORY: &str =
        "Lanyard.\n\n1. It gets through\n     200\n\n2. Another does not\n     EPERM\n";

    fn ended(code: i32, text: &str) -> Ended {
        Ended {
            status: Some(ExitStatus::from_raw(code << 8)),
            text: text.into(),
        }
    }

    #[test]
    fn each_scene_counts() {
        assert_eq!(verdict(&ended(0, STORY)), Counts::passed(2));
    }

    #[test]
    fn the_last_scene_of_a_story_that_ends_badly_has_failed() {
        let counts = verdict(&ended(1, STORY));
        assert_eq!((counts.passed, counts.failed), (1, 1));
    }

    #[test]
    fn a_story_without_scenes_has_failed() {
        assert_eq!(verdict(&ended(0, "nothing to see\n")), Counts::failed(1));
        assert_eq!(verdict(&ended(1, "")), Counts::failed(1));
    }

    #[test]
    fn numbers_out_of_turn_are_no_scenes() {
        assert_eq!(count("1. a\n7. b\n2. c\n2. d\nv1. e\n"), 2);
    }
}
