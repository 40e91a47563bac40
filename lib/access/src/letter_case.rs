//! Names that some readers do not tell apart.

/// A text as readers see it that tell no cases apart: two texts that any of them takes for one are equal here.
///
/// Readers fold in different ways. Go's takes `ſ` (U+017F) for `s` and the sign of Kelvin (U+212A) for `k`, as
/// simple folding does (Unicode, `CaseFolding.txt`); Java's compares in upper and in lower case, where `ı` and `İ`
/// are both an `i`; others fold ASCII alone.
pub fn folded(text: &str) -> String {
    let upper = text.chars().flat_map(char::to_uppercase);
    let upper = upper.map(|letter| if letter == 'İ' { 'I' } else { letter });
    upper.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_reader_takes_for_one_is_one() {
        for text in ["params", "PARAMS", "Params", "paramſ"] {
            assert_eq!(folded(text), "params", "{text}");
        }
        for text in ["KIND", "\u{212a}ind", "kınd", "kİnd"] {
            assert_eq!(folded(text), "kind", "{text}");
        }
        assert_eq!(folded("Größe"), folded("GRÖSSE"));
        assert_eq!(folded("ΣΑΣ"), folded("σας"));
    }

    #[test]
    fn other_texts_are_others() {
        for (one, other) in [("name", "names"), ("a_b", "a-b"), ("é", "e"), ("", " ")] {
            assert_ne!(folded(one), folded(other), "{one} {other}");
        }
    }
}
