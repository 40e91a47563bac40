//! Text from files, within limits.

use std::{fs::File, io::Read as _, path::Path};

use crate::problem::{Mistake, Position, Problem};

/// The longest file that is read.
const LONGEST: usize = 4 << 20;

/// The text of a file, or why it cannot be read.
pub(crate) fn read_file(path: &Path) -> Result<String, Problem> {
    let name = path.display().to_string();
    let failed = |message: String| Mistake::new(Position::START, "", message).in_file(&name);
    let unreadable = |error: std::io::Error| failed(format!("the file cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than is allowed is enough to see that there is more.
    let limit = u64::try_from(LONGEST + 1).unwrap_or(u64::MAX);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    check_length(bytes.len()).map_err(|mistake| mistake.in_file(&name))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let at = position_of(&error.as_bytes()[..good]);
        Mistake::new(at, "", "the file is not UTF-8 text from here on").in_file(&name)
    })
}

/// Refuses a text that is too long to be read.
pub(crate) fn check_length(length: usize) -> Result<(), Mistake> {
    if length <= LONGEST {
        return Ok(());
    }
    let message = format!("the file is longer than {} MiB", LONGEST >> 20);
    Err(Mistake::new(Position::START, "", message).allowing("split it"))
}

/// Where the text goes on that begins with `bytes`, which are UTF-8.
fn position_of(bytes: &[u8]) -> Position {
    let text = String::from_utf8_lossy(bytes);
    let line = text.rsplit('\n').next().unwrap_or_default();
    Position {
        line: text.matches('\n').count() + 1,
        column: line.chars().count() + 1,
    }
}
