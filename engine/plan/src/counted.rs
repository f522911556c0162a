//! JSON whose values are counted before they are built: two bytes of text can become a hundred of memory.

use serde::de::DeserializeOwned;

use crate::budget::{Meter, Stopped};

/// Counts an upper bound of the values in a JSON text as items, its bytes as bytes.
///
/// # Errors
/// The budget is exhausted.
pub fn count_values(json: &[u8], meter: &Meter) -> Result<(), Stopped> {
    meter.bytes(json.len())?;
    meter.items(1)?;
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b',' | b'[' | b'{' | b':' if !is_text => meter.items(1)?,
            _ => {}
        }
    }
    Ok(())
}

/// Reads a JSON text of a limited number of values; `None` if it is another or has more.
#[must_use]
pub fn from_json<T: DeserializeOwned>(json: &str, meter: &Meter) -> Option<T> {
    count_values(json.as_bytes(), meter).ok()?;
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::budget::Budget;

    fn fits(json: &str, items: u64) -> bool {
        let meter = Meter::new(Budget { bytes: 1_000, items, steps: 0 });
        from_json::<Json>(json, &meter).is_some()
    }

    #[test]
    fn values_are_counted_texts_are_opaque() {
        assert!(fits("1", 1) && fits("[1, 2]", 3) && fits(r#"{"a": [1]}"#, 4));
        assert!(!fits("[1, 2]", 2) && !fits("[[],[],[]]", 5));
        assert!(fits(r#"",,,[[[{{:\",,\\""#, 1));
        assert!(!fits(r#"["\\",1]"#, 2) && fits(r#"["\\",1]"#, 3));
    }

    #[test]
    fn long_texts_are_refused_unread() {
        assert!(!fits(&" ".repeat(1_001), 1));
    }
}
