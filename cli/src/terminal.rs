//! Text of others made fit for a terminal.
//!
//! Paths, names and arguments come from agents, whose model may be hostile: a control sequence in
//! one of them could rewrite what a person reads.

use std::borrow::Cow;

/// `text` on one line, with control characters and changes of writing direction shown as escapes.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unfit) {
        Cow::Owned(text.chars().fold(String::new(), push))
    } else {
        Cow::Borrowed(text)
    }
}

/// Like [`printable`], with line breaks kept.
pub(crate) fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(printable).collect();
    lines.join("\n")
}

fn push(mut text: String, character: char) -> String {
    if is_unfit(character) {
        text.extend(character.escape_default());
    } else {
        text.push(character);
    }
    text
}

/// Control characters (Unicode category Cc) and the directional formatting characters of UAX #9.
fn is_unfit(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_shown_and_not_obeyed() {
        assert_eq!(printable("a\x1b[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(printable("\u{9b}31m\u{202e}x"), "\\u{9b}31m\\u{202e}x");
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        assert!(matches!(printable("/opt/größe/名"), Cow::Borrowed(_)));
        assert_eq!(printable_lines("a\n  b\tc\n"), "a\n  b\\tc");
    }
}
