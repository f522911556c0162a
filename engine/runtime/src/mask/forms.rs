//! The forms in which a secret may turn up in output: raw, base64, hexadecimal, URL-encoded,
//! JSON-escaped, quoted for a shell; wrapped into lines where a tool does that.
//!
//! Pure. Must not be used for anything but looking for secrets.

use std::collections::BTreeSet;

/// Secrets and forms shorter than this are not masked: they would blank out ordinary output.
pub(super) const MIN_FORM_BYTES: usize = 4;

/// The last line of a wrapped form may be short; so short a one would blank out ordinary output.
const MIN_LINE_BYTES: usize = 8;

/// Characters that encoders of URLs leave unchanged besides letters, digits and `-._`: RFC 3986,
/// `quote` of Python, `encodeURIComponent` and `encodeURI` of JavaScript, and encoders of forms.
const UNENCODED: [&[u8]; 5] = [b"~", b"~/", b"~!*'()", b"~!*'();/?:@&=+$,#", b"*"];

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Every form of a secret, and of each of its lines if it has several.
pub(super) fn of(secret: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    add(secret, &mut forms);
    if secret.contains(&b'\n') {
        for line in secret.split(|byte| *byte == b'\n') {
            add(line.strip_suffix(b"\r").unwrap_or(line), &mut forms);
        }
    }
    forms
}

fn add(text: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    // A file's final line end is rarely printed with it.
    for text in [text, text.trim_ascii()] {
        if text.len() < MIN_FORM_BYTES {
            continue;
        }
        let mut found = vec![text.to_vec(), quoted(text)];
        for unencoded in UNENCODED {
            for space in [&b"%20"[..], b"+"] {
                let upper = url(text, space, unencoded);
                found.push(lower_escapes(&upper));
                found.push(upper);
            }
        }
        for digits in [hex(text, b"0123456789abcdef"), hex(text, b"0123456789ABCDEF")] {
            // `xxd -p` breaks after 30 bytes.
            found.extend(wrapped(&digits, &[60]));
            found.push(digits);
        }
        if let Ok(text) = std::str::from_utf8(text) {
            found.extend(json(text));
        }
        for alphabet in [STANDARD, URL_SAFE] {
            found.extend(base64_forms(text, alphabet));
            // `base64` breaks after 76 characters, `openssl` after 64; also with a line end behind.
            for text in [text.to_vec(), [text, b"\n"].concat()] {
                found.extend(wrapped(&base64(&text, alphabet), &[64, 76]));
            }
        }
        forms.extend(found.into_iter().filter(|form| form.len() >= MIN_FORM_BYTES));
    }
}

/// The base64 text of the secret at each of the three places it can have in a group of bytes.
fn base64_forms(secret: &[u8], alphabet: &[u8; 64]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3_usize {
        let mut padded = vec![0; before];
        padded.extend_from_slice(secret);
        let text = base64(&padded, alphabet);
        // The first characters also depend on what stands before the secret.
        let own = text.get((before * 8).div_ceil(6)..).unwrap_or_default();
        // The last one also depends on what follows, unless the bytes fill their groups.
        let inner = if padded.len() % 3 == 0 {
            own
        } else {
            own.split_last().map_or(own, |(_, rest)| rest)
        };
        forms.push(inner.to_vec());
        forms.push(own.to_vec());
        let mut ended = own.to_vec();
        ended.resize(own.len() + (3 - padded.len() % 3) % 3, b'=');
        forms.push(ended);
    }
    forms
}

fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte))
            << (8 * (3 - group.len()));
        let digits = [18, 12, 6, 0].map(|shift| {
            let digit = usize::try_from((bits >> shift) & 63).unwrap_or(0);
            alphabet.get(digit).copied().unwrap_or(b'?')
        });
        text.extend(digits.iter().take(group.len() + 1));
    }
    text
}

/// The lines of a text that a tool breaks after so many characters; of one line there is none.
fn wrapped(text: &[u8], widths: &[usize]) -> Vec<Vec<u8>> {
    let broken = widths.iter().filter(|width| text.len() > **width);
    broken
        .flat_map(|width| text.chunks(*width))
        .filter(|line| line.len() >= MIN_LINE_BYTES)
        .map(<[u8]>::to_vec)
        .collect()
}

fn hex(bytes: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    let digit = |value: u8| digits.get(usize::from(value)).copied().unwrap_or(b'?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// As a shell's trace shows it: `it'\''s`.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'\'' => shown.extend_from_slice(b"'\\''"),
            other => shown.push(*other),
        }
    }
    shown
}

/// `%2f` for `%2F`: some encoders write small digits.
fn lower_escapes(text: &[u8]) -> Vec<u8> {
    let mut lower = text.to_vec();
    let mut left = 0;
    for byte in &mut lower {
        if left > 0 {
            *byte = byte.to_ascii_lowercase();
            left -= 1;
        }
        if *byte == b'%' {
            left = 2;
        }
    }
    lower
}

fn url(bytes: &[u8], space: &[u8], unencoded: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' ' => text.extend_from_slice(space),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => text.push(*byte),
            kept if unencoded.contains(kept) => text.push(*kept),
            other => text.extend(format!("%{other:02X}").bytes()),
        }
    }
    text
}

/// JSON's escapes, with other scripts as they are and as `\u` escapes.
fn json(text: &str) -> Vec<Vec<u8>> {
    let Ok(quoted) = serde_json::to_string(text) else {
        return Vec::new();
    };
    let plain = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    let mut ascii = String::new();
    for character in plain.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    vec![plain.as_bytes().to_vec(), ascii.into_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let texts =
            [(&b"f"[..], &b"Zg"[..]), (b"fo", b"Zm8"), (b"foo", b"Zm9v"), (b"foobar", b"Zm9vYmFy")];
        for (bytes, text) in texts {
            assert_eq!(base64(bytes, STANDARD), text);
        }
    }

    #[test]
    fn secrets_inside_base64_are_found_at_each_offset() {
        let secret = b"hunter2-of-the-house";
        let forms = of(secret);
        for before in ["", "u", "us", "user:"] {
            let mut text = before.as_bytes().to_vec();
            text.extend_from_slice(secret);
            text.extend_from_slice(b"@host");
            let encoded = base64(&text, STANDARD);
            assert!(
                forms.iter().any(|form| encoded.windows(form.len()).any(|at| at == form)),
                "not found after {before:?}"
            );
        }
    }

    #[test]
    fn long_secrets_are_found_in_wrapped_encodings() {
        let secret: Vec<u8> = (0..200_u8).map(|n| b'a' + n % 26).collect();
        let forms = of(&secret);
        for behind in [&b""[..], b"\n"] {
            let text = base64(&[&secret, behind].concat(), STANDARD);
            for width in [64, 76] {
                let mut lines = text.chunks(width).filter(|line| line.len() >= MIN_LINE_BYTES);
                assert!(lines.all(|line| forms.contains(line)), "{width}");
            }
        }
        assert!(hex(&secret, b"0123456789abcdef").chunks(60).all(|line| forms.contains(line)));
        assert!(of(b"pass/word").contains(&b"pass%2fword"[..]));
        assert!(of(b"it's a pass").contains(&b"it'\\''s a pass"[..]));
    }

    #[test]
    fn secrets_are_found_in_every_url_encoding() {
        let forms = of(b"a/b c*d~e'f&g(h)=i");
        for encoded in [
            "a%2Fb%20c%2Ad~e%27f%26g%28h%29%3Di",
            "a/b%20c%2Ad~e%27f%26g%28h%29%3Di",
            "a%2Fb%20c*d~e'f%26g(h)%3Di",
            "a/b%20c*d~e'f&g(h)=i",
            "a%2Fb+c*d%7Ee%27f%26g%28h%29%3Di",
        ] {
            assert!(forms.contains(encoded.as_bytes()), "{encoded}");
        }
    }

    #[test]
    fn leading_quotes_of_secrets_survive_json() {
        assert!(of(b"\"quoted\"").contains(br#"\"quoted\""#.as_slice()));
    }
}
