//! Finds a secret in what a service sends back, and masks it, wherever the borders of chunks fall.
//!
//! It is found as it is, in base64 whatever stands before and behind it there, encoded for URLs, and escaped
//! for JSON and HTML. What a service does to it beyond that (reversed, split, compressed, encrypted) is not
//! found.

mod forms;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use memchr::memmem::Finder;
use zeroize::Zeroizing;

/// What may stand in place of each byte of a secret: none of these is in any encoding of one that lacks it. The
/// length of what is masked does not change.
const MASKS: [u8; 5] = *b"*#!.,";

/// What stands in place of each byte of that secret: it has none of these itself, so that no new occurrence
/// comes of masking another.
pub(crate) fn mask_for(secret: &[u8]) -> Option<u8> {
    MASKS.into_iter().find(|mask| !secret.contains(mask))
}

/// The forms of a secret that are looked for. Cleared when dropped.
#[derive(Clone)]
pub(crate) struct Needles {
    forms: Arc<[Zeroizing<Vec<u8>>]>,
    mask: u8,
}

impl Needles {
    /// The forms of a secret of at least 8 bytes.
    pub(crate) fn of(secret: &[u8]) -> Self {
        Self {
            forms: forms::of(secret).into(),
            mask: mask_for(secret).unwrap_or(MASKS[0]),
        }
    }

    /// Each form, for those who look for themselves.
    #[cfg(fuzzing)]
    pub(crate) fn forms(&self) -> Vec<Vec<u8>> {
        self.forms.iter().map(|form| form.to_vec()).collect()
    }

    /// The text with every occurrence masked, or nothing if there is none.
    pub(crate) fn mask(&self, text: &[u8]) -> Option<Vec<u8>> {
        let found = self.find(text);
        (!found.is_empty()).then(|| masked(text, &found, self.mask))
    }

    /// Whether the text, whatever its case, is or holds the secret as it is.
    pub(crate) fn is_in_without_case(&self, text: &[u8]) -> bool {
        // Names of headers are short, and this is asked for each of them.
        if self.forms.iter().all(|form| form.len() > text.len()) {
            return false;
        }
        let text = Zeroizing::new(text.to_ascii_lowercase());
        self.forms.iter().any(|form| {
            let form = Zeroizing::new(form.to_ascii_lowercase());
            Finder::new(form.as_slice()).find(&text).is_some()
        })
    }

    /// Every occurrence, overlapping ones too, as start and end.
    fn find(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for form in self.forms.iter().filter(|form| form.len() <= text.len()) {
            let finder = Finder::new(form.as_slice());
            let mut from = 0;
            while let Some(at) = finder.find(&text[from..]) {
                found.push((from + at, from + at + form.len()));
                from += at + 1;
            }
        }
        found
    }

    /// How many of the last bytes may be the beginning of an occurrence.
    fn unfinished(&self, text: &[u8]) -> usize {
        let Some(last) = text.last() else {
            return 0;
        };
        let longest = |form: &Zeroizing<Vec<u8>>| {
            let most = text.len().min(form.len() - 1);
            (1..=most)
                .rev()
                .find(|length| form[*length - 1] == *last && text.ends_with(&form[..*length]))
        };
        self.forms.iter().filter_map(longest).max().unwrap_or(0)
    }
}

impl fmt::Debug for Needles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Needles(..)")
    }
}

fn masked(text: &[u8], found: &[(usize, usize)], mask: u8) -> Vec<u8> {
    let mut text = text.to_vec();
    for (start, end) in found {
        let end = (*end).min(text.len());
        text[*start..end].fill(mask);
    }
    text
}

/// Masks a stream. It holds back only what may be the beginning of an occurrence, so that events of a
/// stream arrive when they are sent.
#[derive(Debug)]
pub(crate) struct Scrubber {
    needles: Needles,
    /// The bytes held back, as they came.
    held: Zeroizing<Vec<u8>>,
    /// How many of them are part of an occurrence that began before them.
    condemned: usize,
}

impl Scrubber {
    /// Looks for these.
    pub(crate) fn new(needles: Needles) -> Self {
        Self {
            needles,
            held: Zeroizing::default(),
            condemned: 0,
        }
    }

    /// Takes what came next, and gives what can go on.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Bytes {
        if self.held.is_empty()
            && self.needles.unfinished(&chunk) == 0
            && self.needles.find(&chunk).is_empty()
        {
            return chunk;
        }
        // Never grown, so that no part of a secret stays behind in memory.
        let mut text = Zeroizing::new(Vec::with_capacity(self.held.len() + chunk.len()));
        text.extend_from_slice(&self.held);
        text.extend_from_slice(&chunk);
        let ready = text.len() - self.needles.unfinished(&text);
        self.release(&text, ready)
    }

    /// Gives the rest: nothing follows.
    pub(crate) fn finish(&mut self) -> Bytes {
        let text = std::mem::take(&mut self.held);
        self.release(&text, text.len())
    }

    /// How many bytes are held back.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    fn release(&mut self, text: &[u8], ready: usize) -> Bytes {
        // What begins in the part held back is found again with what follows.
        let mut found = self.needles.find(text);
        found.retain(|(start, _)| *start < ready);
        found.push((0, self.condemned));
        let condemned = found.iter().map(|(_, end)| *end).max().unwrap_or(0);
        let out = masked(&text[..ready], &found, self.needles.mask);
        self.condemned = condemned.saturating_sub(ready);
        self.held = Zeroizing::new(text[ready..].to_vec());
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
    };
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"sk-abcabcabd/+0?";

    fn scrubbed<'a>(secret: &[u8], chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut scrubber = Scrubber::new(Needles::of(secret));
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&scrubber.push(Bytes::copy_from_slice(chunk)));
        }
        out.extend_from_slice(&scrubber.finish());
        out
    }

    #[test]
    fn a_secret_is_masked_and_all_else_is_carried() {
        let text = [b"a", SECRET, b"b", SECRET, SECRET, b"c"].concat();
        let stars = "*".repeat(SECRET.len());
        let expected = format!("a{stars}b{stars}{stars}c");
        assert_eq!(scrubbed(SECRET, [text.as_slice()]), expected.as_bytes());
    }

    #[test]
    fn nothing_is_held_back_that_cannot_begin_an_occurrence() {
        let mut scrubber = Scrubber::new(Needles::of(SECRET));
        assert_eq!(scrubber.push("data: 1\n\n".into()), "data: 1\n\n");
        assert_eq!(scrubber.push("data: sk-".into()), "data: ");
        assert_eq!(scrubber.held(), 3);
        assert_eq!(scrubber.push("ip".into()), "sk-ip");
        assert_eq!(scrubber.held(), 0);
    }

    #[test]
    fn base64_of_the_secret_is_masked_with_whatever_around_it() {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for before in 0..4 {
                for behind in 0..4 {
                    let plain = [&b"user:"[..before], SECRET, &b":::::"[..behind]].concat();
                    let encoded = engine.encode(&plain);
                    let out = scrubbed(SECRET, [encoded.as_bytes()]);
                    let left = out.iter().filter(|byte| **byte != b'*').count();
                    // What is left belongs to bytes beside the secret, or is one character at a border.
                    let beside = (before + behind) * 8 / 6 + 2;
                    assert!(left <= beside, "{encoded}: {left} > {beside}");
                }
            }
        }
    }

    #[test]
    fn a_secret_encoded_for_urls_json_or_html_is_masked() {
        for encoded in [
            "sk-abcabcabd%2F%2B0%3F",
            "sk-abcabcabd%2f%2b0%3f",
            "sk-abcabcabd/%2B0%3F",
            "%73k-abcabcabd%2F%2B0%3F",
            r"sk-abcabcabd\/+0?",
            r"sk-abcabcabd\u002f\u002b0?",
        ] {
            let text = format!("<{encoded}>");
            let out = scrubbed(SECRET, [text.as_bytes()]);
            let masked = format!("<{}>", "*".repeat(encoded.len()));
            // What is encoded beyond need is not found.
            let is_needless = encoded.starts_with("%73") || encoded.contains("u002f");
            assert_eq!(out == masked.as_bytes(), !is_needless, "{encoded}");
        }
        let secret = b"a<b>&c'd\"e--";
        for encoded in [
            "a&lt;b&gt;&amp;c&#39;d&quot;e--",
            "a&lt;b&gt;&amp;c'd&#34;e--",
            r#"a\u003cb\u003e\u0026c'd\"e--"#,
            r#"a<b>&c'd\"e--"#,
        ] {
            let out = scrubbed(secret, [encoded.as_bytes()]);
            assert_eq!(out, "*".repeat(encoded.len()).as_bytes(), "{encoded}");
        }
    }

    #[test]
    fn the_mask_is_nothing_of_the_secret() {
        let out = scrubbed(b"aa*aa*aa", [&b"a aa*aa*aa *"[..]]);
        assert_eq!(out, b"a ######## *");
        assert_eq!(mask_for(b"*#!.,"), None);
    }

    #[test]
    fn a_header_name_hides_nothing_by_its_case() {
        let needles = Needles::of(b"Sk-AbCdEfGh");
        assert!(needles.is_in_without_case(b"x-sk-abcdefgh"));
        assert!(!needles.is_in_without_case(b"x-sk-abcdefg"));
    }

    /// Texts that are full of whole and broken occurrences.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(SECRET.to_vec()),
            Just(STANDARD_NO_PAD.encode(SECRET).into_bytes()),
            (0..SECRET.len()).prop_map(|end| SECRET[..end].to_vec()),
            (0..SECRET.len()).prop_map(|start| SECRET[start..].to_vec()),
            prop::collection::vec(any::<u8>(), 0..5),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn chunks<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        cuts.windows(2)
            .map(|pair| &text[pair[0]..pair[1]])
            .collect()
    }

    proptest! {
        #[test]
        fn chunk_borders_change_nothing(
            text in texts(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let needles = Needles::of(SECRET);
            let whole = needles.mask(&text).unwrap_or_else(|| text.clone());
            prop_assert_eq!(scrubbed(SECRET, chunks(&text, &cuts)), whole);
        }

        #[test]
        fn no_occurrence_is_left_and_no_length_changes(
            text in texts(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let out = scrubbed(SECRET, chunks(&text, &cuts));
            prop_assert_eq!(out.len(), text.len());
            prop_assert!(Needles::of(SECRET).find(&out).is_empty());
        }

        #[test]
        fn any_secret_is_masked_in_any_chunks_even_where_it_overlaps_itself(
            secret in prop::collection::vec(prop::sample::select(b"ab".to_vec()), 8..12),
            text in prop::collection::vec(prop::sample::select(b"ab".to_vec()), 0..200),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let needles = Needles::of(&secret);
            let whole = needles.mask(&text).unwrap_or_else(|| text.clone());
            prop_assert_eq!(scrubbed(&secret, chunks(&text, &cuts)), whole);
        }
    }
}
