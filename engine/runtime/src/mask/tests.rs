//! Masking does not depend on where a stream is cut, and nothing of a secret gets through.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn masked(secrets: &[&str], pieces: &[&[u8]]) -> String {
    let secrets = Secrets::new(secrets.iter().map(|secret| secret.as_bytes()));
    let mut stream = secrets.stream();
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(stream.push(piece.to_vec()));
    }
    out.extend(stream.finish());
    String::from_utf8(out).unwrap()
}

proptest! {
    #[test]
    fn the_place_of_the_cuts_does_not_matter(
        text in "[abc]{0,60}",
        secrets in prop::collection::vec("[abc]{4,9}", 1..4),
        pieces in prop::collection::vec(1usize..7, 1..9),
    ) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let whole = masked(&secrets, &[text.as_bytes()]);
        let mut cut = Vec::new();
        let mut rest = text.as_bytes();
        for size in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at((*size).min(rest.len()));
            cut.push(piece);
            rest = later;
        }
        prop_assert_eq!(masked(&secrets, &cut), whole.clone());
        for secret in secrets {
            prop_assert!(!whole.contains(secret));
        }
    }

    #[test]
    fn what_is_held_back_is_bounded(text in "[ab]{0,300}") {
        let secrets = Secrets::new([&b"ababab"[..]]);
        let longest = secrets.0.as_ref().unwrap().longest;
        let mut stream = secrets.stream();
        for byte in text.bytes() {
            stream.push(vec![byte]);
            prop_assert!(stream.pending.len() < longest);
        }
    }
}

#[test]
fn a_secret_cut_in_two_is_masked() {
    assert_eq!(masked(&["hunter22"], &[b"pass hun", b"ter22 ok"]), "pass *** ok");
}

#[test]
fn overlapping_secrets_leave_no_rest() {
    assert_eq!(masked(&["abcd1", "d1efg"], &[b"<abcd1efg>"]), "<***>");
}

#[test]
fn each_line_of_a_secret_is_masked() {
    assert_eq!(masked(&["line one\nline two\n"], &[b"[line two]"]), "[***]");
}

#[test]
fn a_secret_of_three_bytes_is_not_masked() {
    assert_eq!(masked(&["abc"], &[b"abc"]), "abc");
}

#[test]
fn values_are_masked_in_keys_texts_and_numbers() {
    let secrets = Secrets::new([&b"12345"[..]]);
    let value = secrets.value(json!({"a12345": ["x12345"], "n": 12345, "ok": 7}));
    assert_eq!(value, json!({"a***": ["x***"], "n": "***", "ok": 7}));
}

#[test]
fn encoded_forms_are_masked() {
    let secret = "p@ss w\u{f6}rd/\"1\"";
    let json = serde_json::to_string(&json!({"k": secret})).unwrap();
    assert_eq!(masked(&[secret], &[json.as_bytes()]), r#"{"k":"***"}"#);
    assert_eq!(masked(&[secret], &[b"x=p%40ss%20w%C3%B6rd%2F%221%22"]), "x=***");
}

#[test]
fn masks_of_a_run_grow_and_are_bounded() {
    let mut masks = RunMasks::default();
    assert_eq!(masks.secrets().unwrap().text("first second"), "first second");
    masks.add([b"first".to_vec()].into_iter());
    assert_eq!(masks.secrets().unwrap().text("first second"), "*** second");
    masks.add([b"second".to_vec(), b"first".to_vec()].into_iter());
    assert_eq!(masks.secrets().unwrap().text("first second"), "*** ***");
    masks.add((0..=MAX_VALUES).map(|number| format!("secret {number}").into_bytes()));
    assert!(masks.secrets().is_err());
}
