//! One range of bytes out of a `Range` header (RFC 9110 §14.1.2, §14.2).
//!
//! Pure. Several ranges at once are answered with the whole content, which the RFC allows: clients that
//! fetch a file in parts ask for one range at a time.

/// A client's requested part of some content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedRange {
    /// All bytes, with status 200.
    Whole,
    /// From the first byte to behind the last.
    Part(u64, u64),
    /// Nothing that is there: 416.
    Nothing,
}

/// Reads the value of `Range` for something of `total` bytes. What is not understood is ignored.
#[must_use]
pub fn wanted(value: Option<&str>, total: u64) -> RequestedRange {
    let Some(spec) = value.and_then(|value| value.trim().strip_prefix("bytes=")) else {
        return RequestedRange::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else { return RequestedRange::Whole };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Longer than any file: as far as there is.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => RequestedRange::Whole,
        (Some(first), Some(last)) => part(first, last.saturating_add(1).min(total)),
        (Some(first), None) if last.is_empty() => part(first, total),
        (None, Some(0)) if first.is_empty() => RequestedRange::Nothing,
        (None, Some(suffix)) if first.is_empty() => part(total.saturating_sub(suffix), total),
        _ => RequestedRange::Whole,
    }
}

fn part(first: u64, end: u64) -> RequestedRange {
    if first < end { RequestedRange::Part(first, end) } else { RequestedRange::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parsed_as_rfc_9110_specifies() {
        for (text, wanted_part) in [
            ("bytes=0-4", RequestedRange::Part(0, 5)),
            ("bytes=5-", RequestedRange::Part(5, 10)),
            ("bytes=-3", RequestedRange::Part(7, 10)),
            ("bytes=-30", RequestedRange::Part(0, 10)),
            ("bytes=8-99999999999999999999999999", RequestedRange::Part(8, 10)),
            ("bytes=10-", RequestedRange::Nothing),
            ("bytes=-0", RequestedRange::Nothing),
            ("bytes=5-2", RequestedRange::Whole),
            ("bytes=0-1,3-4", RequestedRange::Whole),
            ("bytes=+1-2", RequestedRange::Whole),
            ("bytes=-", RequestedRange::Whole),
            ("lines=1-2", RequestedRange::Whole),
            ("", RequestedRange::Whole),
        ] {
            assert_eq!(wanted(Some(text), 10), wanted_part, "{text}");
        }
        assert_eq!(wanted(None, 10), RequestedRange::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), RequestedRange::Nothing);
    }
}
