//! One range of bytes out of a `Range` header (RFC 9110 §14.1.2, §14.2).
//!
//! Pure. Several ranges at once are answered with the whole, which the RFC allows: nobody who fetches
//! a file in parts asks so.

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    Whole,
    /// From the first byte to behind the last.
    Part(u64, u64),
    /// Nothing that is there: 416.
    Nothing,
}

/// Reads the value of `Range` for something of `total` bytes. What is not understood is ignored.
#[must_use]
pub fn wanted(value: Option<&str>, total: u64) -> Wanted {
    let Some(spec) = value.and_then(|value| value.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::Whole };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Longer than any file: as far as there is.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => Wanted::Whole,
        (Some(first), Some(last)) => part(first, last.saturating_add(1).min(total)),
        (Some(first), None) if last.is_empty() => part(first, total),
        (None, Some(0)) if first.is_empty() => Wanted::Nothing,
        (None, Some(suffix)) if first.is_empty() => part(total.saturating_sub(suffix), total),
        _ => Wanted::Whole,
    }
}

fn part(first: u64, end: u64) -> Wanted {
    if first < end { Wanted::Part(first, end) } else { Wanted::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_rfc_9110_says() {
        for (text, wanted_part) in [
            ("bytes=0-4", Wanted::Part(0, 5)),
            ("bytes=5-", Wanted::Part(5, 10)),
            ("bytes=-3", Wanted::Part(7, 10)),
            ("bytes=-30", Wanted::Part(0, 10)),
            ("bytes=8-99999999999999999999999999", Wanted::Part(8, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(text), 10), wanted_part, "{text}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }
}
