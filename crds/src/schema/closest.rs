//! The known name that a mistyped one is most like.

/// The one of `known` that `written` is a likely slip of, if there is one.
pub(crate) fn closest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let written = written.to_lowercase();
    let distances = known.map(|name| (distance(&written, &name.to_lowercase()), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + name.len() / 5).then_some(name)
}

/// How many letters must be put in, taken out, replaced or swapped with the next (the optimal string
/// alignment distance). Long texts are no slips, and count as entirely different.
fn distance(one: &str, other: &str) -> usize {
    const LONGEST: usize = 64;
    let one: Vec<char> = one.chars().take(LONGEST).collect();
    let other: Vec<char> = other.chars().take(LONGEST).collect();
    let mut two_back: Vec<usize> = Vec::new();
    let mut back: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let replaced = back[j] + usize::from(a != b);
            let mut best = replaced.min(back[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                best = best.min(two_back[j - 1] + 1);
            }
            row.push(best);
        }
        two_back = std::mem::replace(&mut back, row);
    }
    back.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_what_was_meant() {
        let known = ["host", "port", "protocol", "allowPrivate", "caBundle"];
        for (written, meant) in [
            ("Host", Some("host")),
            ("hots", Some("host")),
            ("prot", Some("port")),
            ("protocl", Some("protocol")),
            ("allow_private", Some("allowPrivate")),
            ("cabundle", Some("caBundle")),
            ("methods", None),
            ("x", None),
        ] {
            assert_eq!(closest(written, known.into_iter()), meant, "{written}");
        }
    }
}
