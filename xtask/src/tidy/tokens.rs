//! A Rust file as a flat list of tokens with line numbers.
//!
//! The compiler's own lexer (`proc-macro2`) does the reading: words in comments and strings are not
//! code and cannot trip a rule. Must not interpret anything; the rules do.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token: an identifier, a punctuation character, a literal, or a bracket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Line, from 1.
    pub(crate) line: usize,
}

/// Splits `text` into tokens. `Err` holds the line where it stops being Rust.
pub(crate) fn lex(text: &str) -> Result<Vec<Token>, usize> {
    let stream: TokenStream =
        text.parse().map_err(|error: proc_macro2::LexError| error.span().start().line)?;
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    Ok(tokens)
}

/// Whether the tokens from `at` on are exactly `pattern`.
pub(crate) fn starts_with(tokens: &[Token], at: usize, pattern: &[&str]) -> bool {
    tokens
        .get(at..at + pattern.len())
        .is_some_and(|window| window.iter().zip(pattern).all(|(token, text)| token.text == *text))
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = brackets(group.delimiter());
                push(tokens, open, group.span_open().start().line);
                flatten(group.stream(), tokens);
                push(tokens, close, group.span_close().start().line);
            }
            TokenTree::Ident(word) => {
                push(tokens, &word.to_string(), word.span().start().line);
            }
            TokenTree::Punct(sign) => {
                push(tokens, &sign.as_char().to_string(), sign.span().start().line);
            }
            TokenTree::Literal(value) => {
                push(tokens, &value.to_string(), value.span().start().line);
            }
        }
    }
}

fn push(tokens: &mut Vec<Token>, text: &str, line: usize) {
    if !text.is_empty() {
        tokens.push(Token { text: text.to_owned(), line });
    }
}

fn brackets(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::{lex, starts_with};

    #[test]
    fn words_in_comments_and_strings_are_not_tokens_of_their_own() {
        let tokens = lex("// sqlx\nlet a = \"sqlx\";\n/* sqlx */").unwrap();
        assert!(tokens.iter().all(|token| token.text != "sqlx"));
    }

    #[test]
    fn tokens_know_their_line() {
        let tokens = lex("fn a() {\n    todo!()\n}").unwrap();
        let at = tokens.iter().position(|token| token.text == "todo").unwrap();
        assert_eq!(tokens[at].line, 2);
        assert!(starts_with(&tokens, at, &["todo", "!", "("]));
        assert!(!starts_with(&tokens, tokens.len() - 1, &["}", "}"]));
    }

    #[test]
    fn text_that_is_not_rust_is_refused_with_its_line() {
        assert_eq!(lex("fn a() {}\nfn b() {\n"), Err(2));
    }
}
