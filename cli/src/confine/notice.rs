//! One line on standard error that does not stop anything.

use std::io::{self, Write};

use anstream::AutoStream;

use crate::terminal::printable;

/// Tells a person; in colour only where standard error is a terminal.
pub(crate) fn warn(text: &str) {
    let mut stream = AutoStream::auto(io::stderr().lock());
    // With standard error gone there is nobody to be told.
    let _ = writeln!(stream, "\x1b[1;33mwarning:\x1b[0m {}", printable(text));
}
