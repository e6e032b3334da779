//! Which known word a user meant with an unknown one.

/// Two words that differ in more letters than this are not similar. A letter that was left out, added, replaced or
/// exchanged with a neighbour counts once.
pub(crate) const MAX_TYPOS: usize = 2;

/// No known word is similar to a longer one, and a comparison takes time and memory in proportion to the length.
const MAX_WORD_BYTES: usize = 200;

/// The word of `known` that is most similar to `word`. None where all differ in more than [`MAX_TYPOS`] letters, and
/// in more than a third of the word.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let lower = word.to_lowercase();
    let most = MAX_TYPOS.max(lower.chars().count() / 3);
    let distances = known.into_iter().map(|known| {
        let begins = lower.len() > 2 && (known.starts_with(&lower) || lower.starts_with(known));
        let distance = strsim::damerau_levenshtein(&lower, &known.to_lowercase());
        (if begins { distance.min(most) } else { distance }, known)
    });
    let (distance, known) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= most).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_that_a_user_meant() {
        let known = ["resolve", "resources", "retries", "in"];
        let of = |word| nearest(word, known);
        for (word, expected) in [
            ("resolv", Some("resolve")),
            ("Resolve", Some("resolve")),
            ("resolvr", Some("resolve")),
            ("resource", Some("resources")),
            ("title", None),
            ("secret", None),
        ] {
            assert_eq!(of(word), expected, "{word}");
        }
    }
}
