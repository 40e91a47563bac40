//! When and from what an image is made, without a clock: the same commit gives the same answer.

use anyhow::Context as _;
use jiff::Timestamp;

use crate::command::stdout_of;
use crate::context::Context;

/// A moment and a revision.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    /// Seconds since 1970: of every file, and of the image.
    pub(crate) moment: u64,
    /// The commit, with `-changed` where files of it are not as they were committed.
    pub(crate) revision: String,
}

impl Stamp {
    /// Asks Git. `moment` is what the environment says by `SOURCE_DATE_EPOCH`; without, the commit's.
    pub(crate) fn of(context: &Context, moment: Option<u64>) -> anyhow::Result<Self> {
        let git = |arguments: &[&str]| {
            let mut command = std::process::Command::new("git");
            command.args(arguments).current_dir(&context.root);
            stdout_of(&mut command).context("the commit is in every image, and Git does not say it")
        };
        let answer = git(&["log", "-1", "--format=%ct %H"])?;
        let (committed, commit) = answer
            .trim()
            .split_once(' ')
            .with_context(|| format!("read what Git says of the commit: {answer:?}"))?;
        let committed = committed
            .parse()
            .with_context(|| format!("read the commit's time {committed:?}"))?;
        let is_changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
        let mark = if is_changed { "-changed" } else { "" };
        Ok(Self {
            moment: moment.unwrap_or(committed),
            revision: format!("{commit}{mark}"),
        })
    }

    /// The moment as RFC 3339 writes it.
    pub(crate) fn created(&self) -> anyhow::Result<String> {
        let moment = i64::try_from(self.moment)
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok());
        let moment = moment.with_context(|| format!("{} is no moment", self.moment))?;
        Ok(moment.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc() {
        let stamp = |moment| Stamp {
            moment,
            revision: String::new(),
        };
        assert_eq!(
            stamp(1_795_811_079).created().unwrap(),
            "2026-11-27T20:24:39Z"
        );
        assert!(stamp(u64::MAX).created().is_err());
    }
}
