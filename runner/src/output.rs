//! The output of a step: the file behind `$PLUE_OUTPUT` as one JSON object.
//!
//! Two forms: a JSON object, or lines `key=value` and blocks `key<<END … END`. Pure but for
//! reading the one file.

use std::{io, path::Path};

use serde_json::{Map, Value};

use crate::files;

/// Bytes of an output.
pub(crate) const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// Digits of a number in a message.
const MAX_SHOWN_DIGITS: usize = 40;
/// Bytes of standard output that become the output of a step without an output file.
pub(crate) const TAIL_BYTES: usize = 64 * 1024;

/// Reads and parses the file; `None` when the step wrote none.
///
/// # Errors
/// A text for people: why this is no output.
pub(crate) fn read(path: &Path) -> Result<Option<Value>, String> {
    let bytes = match files::read(path, MAX_OUTPUT_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("$PLUE_OUTPUT cannot be read: {error}")),
    };
    if bytes.len() > MAX_OUTPUT_BYTES {
        return Err(format!("$PLUE_OUTPUT is over the limit of {MAX_OUTPUT_BYTES} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("$PLUE_OUTPUT is not UTF-8 (at byte {at})")
    })?;
    parse(&text)
}

fn parse(text: &str) -> Result<Option<Value>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(None);
    }
    if text.trim_start().starts_with('{') {
        return match serde_json::from_str(text) {
            Ok(Value::Object(object)) => {
                refuse_large_integers(text).map_err(|why| format!("$PLUE_OUTPUT has {why}"))?;
                Ok(Some(Value::Object(object)))
            }
            Ok(_) => Err("$PLUE_OUTPUT is not a JSON object".to_owned()),
            Err(error) => Err(format!("$PLUE_OUTPUT is not a JSON object: {error}")),
        };
    }
    lines(text).map(|object| Some(Value::Object(object)))
}

/// Refuses whole numbers of more than 64 bits: as floating-point numbers they would be other ones.
///
/// # Errors
/// The first of them, with what to do. The text must be valid JSON.
pub(crate) fn refuse_large_integers(json: &str) -> Result<(), String> {
    let (mut rest, mut in_text) = (json.as_bytes(), false);
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'"' => in_text = !in_text,
            b'\\' if in_text => rest = rest.get(1..).unwrap_or_default(),
            b'-' | b'0'..=b'9' if !in_text => {
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let length = rest.iter().take_while(|byte| is_part(byte)).count();
                let mut number = vec![*first];
                number.extend(rest.iter().take(length));
                rest = rest.get(length..).unwrap_or_default();
                let number = String::from_utf8_lossy(&number);
                let is_whole = !number.contains(['.', 'e', 'E']);
                if is_whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                    let shown: String = number.chars().take(MAX_SHOWN_DIGITS).collect();
                    return Err(format!(
                        "the whole number {shown}, which has more than 64 bits; write it as a text"
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// `key=value` lines and `key<<END` blocks. A later line of the same key wins.
fn lines(text: &str) -> Result<Map<String, Value>, String> {
    let mut object = Map::new();
    let mut rest = text.lines().enumerate();
    while let Some((at, line)) = rest.next() {
        if line.trim().is_empty() {
            continue;
        }
        let equals = line.find('=');
        let block = line.find("<<").filter(|block| equals.is_none_or(|equals| *block < equals));
        let (key, value) = match (block, equals) {
            (Some(block), _) => {
                let (key, end) = line.split_at(block);
                let end = end.trim_start_matches("<<");
                (key, take_block(&mut rest, end, at)?)
            }
            (None, Some(equals)) => {
                let (key, value) = line.split_at(equals);
                (key, value.get(1..).unwrap_or_default().to_owned())
            }
            (None, None) => {
                return Err(format!(
                    "line {} of $PLUE_OUTPUT is neither `key=value` nor the start of a `key<<END` block",
                    at + 1
                ));
            }
        };
        let key = key.trim();
        if key.is_empty() {
            return Err(format!("line {} of $PLUE_OUTPUT has no key", at + 1));
        }
        object.insert(key.to_owned(), Value::String(value));
    }
    Ok(object)
}

fn take_block<'a>(
    rest: &mut impl Iterator<Item = (usize, &'a str)>,
    end: &str,
    start: usize,
) -> Result<String, String> {
    let mut lines = Vec::new();
    for (_, line) in rest {
        if line == end {
            return Ok(lines.join("\n"));
        }
        lines.push(line);
    }
    Err(format!(
        "the block that starts at line {} of $PLUE_OUTPUT has no line {end:?} at its end",
        start + 1
    ))
}

/// The output of a step without a file: the trimmed end of its standard output. If the stored part
/// starts inside a character, that character is left out.
pub(crate) fn from_tail(tail: &[u8], is_cut: bool) -> Value {
    let inside = |byte: &u8| is_cut && byte & 0xc0 == 0x80;
    let skip = tail.iter().take(3).take_while(|byte| inside(byte)).count();
    let text = String::from_utf8_lossy(tail.get(skip..).unwrap_or_default());
    Value::String(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_give_an_object() {
        let cases = [
            ("a=1\r\nb = x=y \n\n", json!({"a": "1", "b": " x=y "})),
            ("{\"a\": [1, 2]}\n", json!({"a": [1, 2]})),
            ("a<<END\none\n\ntwo=2\nEND\nb=", json!({"a": "one\n\ntwo=2", "b": ""})),
            ("a=1\na=2", json!({"a": "2"})),
            ("a=x<<y", json!({"a": "x<<y"})),
        ];
        for (text, value) in cases {
            assert_eq!(parse(text), Ok(Some(value)), "{text:?}");
        }
        assert_eq!(parse(" \n"), Ok(None));
    }

    #[test]
    fn a_malformed_file_is_named_with_its_line() {
        let cases = [
            ("ok=1\nnonsense", "line 2"),
            ("=1", "line 1"),
            ("a<<END\nx", "\"END\""),
            ("{\"a\": }", "column"),
            ("{} {}", "JSON"),
        ];
        for (text, part) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{error:?} does not name {part:?}");
        }
    }

    #[test]
    fn whole_numbers_over_64_bits_are_refused() {
        let fine = r#"{"a": [18446744073709551615, -9223372036854775808, 1e40, 1.5, "99999999999999999999 \" 99999999999999999999"]}"#;
        assert!(parse(fine).is_ok(), "{:?}", parse(fine));
        for number in
            ["18446744073709551616", "-9223372036854775809", "123456789012345678901234567890"]
        {
            let error = parse(&format!("{{\"a\": {{\"b\": {number}}}}}")).unwrap_err();
            assert!(error.contains(number) && error.contains("64 bits"), "{error}");
        }
    }

    #[test]
    fn the_tail_starts_with_a_complete_character() {
        assert_eq!(from_tail("\u{fc} x \n".as_bytes(), true), json!("\u{fc} x"));
        assert_eq!(from_tail(&"\u{fc}x".as_bytes()[1..], true), json!("x"));
        assert_eq!(from_tail(b"\xffx", false), json!("\u{fffd}x"));
    }
}
