//! Tests of the checks before the parser.

use super::*;

fn problems(bytes: &[u8]) -> Vec<(String, u32, u32)> {
    match SourceFile::check("a.plue.py", bytes) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|p| {
                let span = p.span.as_ref().unwrap();
                (p.code.to_string(), span.line, span.column)
            })
            .collect(),
    }
}

fn one(code: plue_plan::Code, line: u32, column: u32) -> Vec<(String, u32, u32)> {
    vec![(code.to_string(), line, column)]
}

#[test]
fn a_file_over_the_limit_is_refused() {
    assert!(problems(&vec![b'\n'; MAX_SOURCE_BYTES]).is_empty());
    assert_eq!(problems(&vec![b'\n'; MAX_SOURCE_BYTES + 1]), one(codes::SOURCE_TOO_LARGE, 1, 1));
}

#[test]
fn bytes_that_are_no_utf8_are_refused_where_they_stand() {
    assert_eq!(problems(b"x = 1\ny = '\xff'\n"), one(codes::NOT_UTF8, 2, 6));
    assert_eq!(problems(b"\xed\xa0\x80"), one(codes::NOT_UTF8, 1, 1));
}

#[test]
fn characters_that_hide_text_are_refused_everywhere() {
    assert_eq!(problems("x = 'a\u{202e}b'".as_bytes()), one(codes::INVISIBLE_CHARACTER, 1, 7));
    assert_eq!(problems("# \u{200b}".as_bytes()), one(codes::INVISIBLE_CHARACTER, 1, 3));
    assert_eq!(problems(b"x = 1 #\0"), one(codes::CONTROL_CHARACTER, 1, 8));
    assert_eq!(problems(b"\x1b[2J"), one(codes::CONTROL_CHARACTER, 1, 1));
    assert_eq!(problems(b"x = 1 # ok\rimport os\n"), one(codes::LONE_CARRIAGE_RETURN, 1, 11));
}

#[test]
fn windows_line_ends_tabs_and_a_byte_order_mark_are_fine() {
    assert!(problems(b"\xef\xbb\xbfif 1:\r\n\tx = 1\r\n").is_empty());
}

#[test]
fn any_script_is_free_in_strings_and_comments_but_not_in_names() {
    assert!(problems("x = 'ä' \"ö\" '''\nü\n''' # ß\n".as_bytes()).is_empty());
    assert!(problems("x = r'\\' + 'ä'\n".as_bytes()) == one(codes::NON_ASCII_NAME, 1, 13));
    assert_eq!(
        problems("größe = 1\n".as_bytes()),
        [one(codes::NON_ASCII_NAME, 1, 3), one(codes::NON_ASCII_NAME, 1, 4)].concat()
    );
}

#[test]
fn only_utf8_may_be_declared() {
    assert!(problems(b"# -*- coding: UTF_8 -*-\n").is_empty());
    assert_eq!(
        problems(b"\n# vim: set fileencoding=latin-1 :\n"),
        one(codes::CODING_COOKIE, 2, 25)
    );
    assert!(problems(b"\n\n# coding: latin-1\n").is_empty());
}

#[test]
fn columns_count_characters() {
    let file = SourceFile::new("a", "x = 'äö'; y\n");
    assert_eq!(file.column(1, 12), 11);
    let span = file.span((1, 4), Some((1, 10)));
    assert_eq!((span.column, span.end_column), (5, Some(9)));
}
