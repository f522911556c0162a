//! A Rust file as a flat list of tokens and a list of comments, with line numbers.
//!
//! Words in comments and strings are not code and cannot trip a rule about code; rules about prose
//! read the comments. Must not interpret anything; the rules do.

mod lexer;

pub(crate) use lexer::lex;

/// The kind of a token, as far as a rule needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword, raw ones without `r#`.
    Word,
    /// One punctuation character or bracket.
    Sign,
    /// A string or character literal, as written, with its quotes.
    Text,
    Number,
}

/// One token: an identifier, a punctuation character, a literal, or a bracket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Line, from 1.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

/// One line of a comment, without its marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) text: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// `///` or `//!`.
    pub(crate) is_doc: bool,
}

/// A file after lexing.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) tokens: Vec<Token>,
    pub(crate) comments: Vec<Comment>,
}

/// Whether the tokens from `at` on are exactly `pattern`.
pub(crate) fn starts_with(tokens: &[Token], at: usize, pattern: &[&str]) -> bool {
    tokens
        .get(at..at + pattern.len())
        .is_some_and(|window| window.iter().zip(pattern).all(|(token, text)| token.text == *text))
}

/// The index of the bracket that closes the one at `open`, or the end of `tokens`.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.kind == Kind::Sign {
            match token.text.as_str() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

/// Splits `tokens` at the commas outside every bracket, `<…>` included.
pub(crate) fn by_commas(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Sign) {
        match token.text.as_str() {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            // The arrow of `Fn(A) -> B` closes nothing.
            ">" if at > 0 && matches!(tokens[at - 1].text.as_str(), "-" | "=") => {}
            ">" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < tokens.len() {
        parts.push(&tokens[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{Kind, by_commas, lex, starts_with};

    #[test]
    fn words_in_comments_and_strings_are_not_tokens() {
        let source = lex("// sqlx\nlet a = \"sqlx\";\n/* sqlx */").unwrap();
        assert!(source.tokens.iter().all(|token| token.text != "sqlx"));
        let lines: Vec<_> = source.comments.iter().map(|one| (one.line, one.is_doc)).collect();
        assert_eq!(lines, [(1, false), (3, false)]);
    }

    #[test]
    fn tokens_know_their_line() {
        let tokens = lex("fn a() {\n    todo!()\n}").unwrap().tokens;
        let at = tokens.iter().position(|token| token.text == "todo").unwrap();
        assert_eq!(tokens[at].line, 2);
        assert!(starts_with(&tokens, at, &["todo", "!", "("]));
        assert!(!starts_with(&tokens, tokens.len() - 1, &["}", "}"]));
    }

    #[test]
    fn unbalanced_text_is_refused_with_its_line() {
        assert_eq!(lex("fn a() {}\nfn b() {\n").unwrap_err(), 2);
        assert_eq!(lex("fn a( {}\n").unwrap_err(), 1);
        assert_eq!(lex("a\n\"b\n").unwrap_err(), 2);
    }

    #[test]
    fn literals_of_every_form_are_one_token() {
        let text = r##"'a' '\'' b'x' "a\"b" r#"a"b"# b"c" br"d" c"e" 1.5e-3 0xff_u8 'life"##;
        let tokens = lex(text).unwrap().tokens;
        let of = |kind| tokens.iter().filter(|token| token.kind == kind).count();
        assert_eq!(
            (of(Kind::Text), of(Kind::Number), of(Kind::Word), of(Kind::Sign)),
            (8, 2, 1, 1)
        );
    }

    #[test]
    fn ranges_are_not_numbers_with_a_point() {
        let texts: Vec<_> = lex("0..1").unwrap().tokens.into_iter().map(|one| one.text).collect();
        assert_eq!(texts, ["0", ".", ".", "1"]);
    }

    #[test]
    fn commas_in_brackets_separate_nothing() {
        let tokens = lex("a: Map<K, V>, b: (C, D), c: impl Fn(E, F) -> G,").unwrap().tokens;
        assert_eq!(by_commas(&tokens).len(), 3);
    }
}
