//! An upper bound of the work of regular expressions of the `regex` crate: linear in the text, but also
//! in the states that a pattern can be in at once, which counted repetitions multiply.

/// Bytes that pass one state of a pattern in one step.
const BYTES_PER_STEP: u64 = 8;
/// States from which on the size limit of compiled patterns holds instead.
const MAX_STATES: u64 = 8_192;

/// The steps of matching a text with a pattern of so many [`states`].
#[must_use]
pub fn match_steps(states: usize, text: &str) -> u64 {
    let states = (states as u64).clamp(1, MAX_STATES);
    1 + (text.len() as u64).saturating_mul(states) / BYTES_PER_STEP
}

/// About the states of a pattern with its counted repetitions written out: `(a{3}b){2}` has 8.
#[must_use]
pub fn states(pattern: &str) -> usize {
    // The states of each open group, and of the last thing in it, which a repetition multiplies.
    let mut open: Vec<(usize, usize)> = vec![(0, 0)];
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        let (sum, last) = open.pop().unwrap_or_default();
        let settled = sum.saturating_add(last);
        match c {
            '(' => open.extend([(settled, 0), (0, 0)]),
            ')' => {
                let (outer, _) = open.pop().unwrap_or_default();
                open.push((outer, settled.max(1)));
            }
            '{' => {
                let text: String = std::iter::from_fn(|| rest.next_if(|c| *c != '}')).collect();
                let _closed = rest.next();
                let bounds = text.split(',').filter_map(|bound| bound.trim().parse().ok());
                open.push((sum, last.saturating_mul(bounds.max().unwrap_or(1).max(1))));
            }
            '\\' => {
                let _escaped = rest.next();
                open.push((settled, 1));
            }
            _ => open.push((settled, 1)),
        }
    }
    open.iter().fold(0, |all, (sum, last)| all.saturating_add(*sum).saturating_add(*last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_written_out_for_the_estimate() {
        for (pattern, count) in [
            ("", 0),
            ("abc", 3),
            ("a{3}", 3),
            ("(a{3}b){2}", 8),
            ("((a{10}){10}){10}", 1_000),
            ("a{2,5}", 5),
            ("a{2,}", 2),
            ("\\{9}", 3),
        ] {
            assert_eq!(states(pattern), count, "{pattern}");
        }
        assert!(states(&"(".repeat(1_000)) <= 1_000);
    }

    #[test]
    fn steps_grow_with_text_and_states() {
        let text = "a".repeat(800);
        assert_eq!((match_steps(1, &text), match_steps(10, &text)), (101, 1_001));
        assert_eq!(match_steps(usize::MAX, "12345678"), 1 + MAX_STATES);
    }
}
