//! Cutting what is fed to a reader, anywhere.

/// The text in pieces: each byte of `cuts` is the length of one, and what is left is the last.
pub(crate) fn cut<'a>(text: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut rest = text;
    let mut pieces = Vec::new();
    for length in cuts {
        let (piece, behind) = rest.split_at(rest.len().min(usize::from(*length)));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}

/// A first part whose length the first byte says, at most `most`, and the rest.
pub(crate) fn take(data: &[u8], most: usize) -> (&[u8], &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return (&[], &[]);
    };
    rest.split_at(rest.len().min(usize::from(*first) % (most + 1)))
}
