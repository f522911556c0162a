//! The tokens of an expression: limits before parsing, and where names stand.
//!
//! The parser's own lexer is used, so that nothing can look like a text here and like operators
//! there.

use cel::parser::pratt_parser::{Lexer, TokenKind};
use plue_plan::validate::{ExpressionError, Reference, Root};

use crate::{
    expression::{MAX_BYTES, MAX_CONDITIONALS, MAX_TOKENS, error_at},
    scope::CONTEXT,
};

/// Macros whose first value is the name of a variable.
pub(crate) const MACROS: [&str; 5] = ["all", "exists", "exists_one", "map", "filter"];

/// A token other than white space.
#[derive(Debug, Clone, Copy)]
struct Token<'s> {
    kind: TokenKind,
    start: usize,
    text: &'s str,
}

/// All tokens of one expression, without spaces and comments.
#[derive(Debug)]
pub(crate) struct Tokens<'s> {
    source: &'s str,
    tokens: Vec<Token<'s>>,
}

/// A word or sign with its place in the source, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'s> {
    pub(crate) text: &'s str,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// True for a name; false for a sign, number or text.
    pub(crate) is_name: bool,
}

// === impl Tokens ===

impl<'s> Tokens<'s> {
    /// # Errors
    /// A limit is passed, or a character belongs to no token.
    pub(crate) fn of(source: &'s str) -> Result<Self, ExpressionError> {
        if source.len() > MAX_BYTES {
            let message = format!("it is {} bytes, the limit is {MAX_BYTES}", source.len());
            return Err(error_at(source, 0, &message));
        }
        let mut lexer = Lexer::new(source);
        let (mut tokens, mut conditionals) = (Vec::new(), 0);
        while let Some(token) = next(&mut lexer, source)? {
            conditionals += usize::from(token.kind == TokenKind::TokQuestion);
            if tokens.len() == MAX_TOKENS {
                let message = format!("it has more than {MAX_TOKENS} words and signs");
                return Err(error_at(source, token.start, &message));
            }
            if conditionals > MAX_CONDITIONALS {
                let message = format!("it has more than {MAX_CONDITIONALS} `? :`");
                return Err(error_at(source, token.start, &message));
            }
            tokens.push(token);
        }
        if tokens.is_empty() {
            return Err(error_at(source, 0, "it is empty"));
        }
        Ok(Self { source, tokens })
    }

    /// All words and signs, in order.
    pub(crate) fn words(&self) -> impl Iterator<Item = Word<'s>> {
        self.tokens.iter().map(|token| Word {
            text: token.text,
            start: token.start,
            end: token.start + token.text.len(),
            is_name: token.kind == TokenKind::TokIdent,
        })
    }

    /// An error where a name first stands on its own.
    pub(crate) fn error_at_name(&self, name: &str, message: &str) -> ExpressionError {
        let found = (0..self.tokens.len()).find(|at| self.names(*at) == Some(name));
        let start = found.map_or(0, |at| self.tokens[at].start);
        error_at(self.source, start, message)
    }

    /// An error where a word first stands.
    pub(crate) fn error_at_word(&self, word: &str, message: &str) -> ExpressionError {
        let found = self.tokens.iter().find(|token| token.text == word);
        error_at(self.source, found.map_or(0, |token| token.start), message)
    }

    /// An error at one occurrence of a word or sign, counted from 0; else at the first.
    pub(crate) fn error_at_nth(&self, word: &str, nth: usize, message: &str) -> ExpressionError {
        let found = self.tokens.iter().filter(|token| token.text == word).nth(nth);
        match found {
            Some(token) => error_at(self.source, token.start, message),
            None => self.error_at_word(word, message),
        }
    }

    /// An error where a text in quotes first stands.
    pub(crate) fn error_at_text(&self, text: &str, message: &str) -> ExpressionError {
        let found = self.tokens.iter().find(|token| unquoted(token.text) == Some(text));
        error_at(self.source, found.map_or(0, |token| token.start), message)
    }

    /// The steps, inputs and context keys that are named.
    ///
    /// # Errors
    /// `steps` or `context` stands without a constant name, so that the plan could not show what is read.
    pub(crate) fn references(&self) -> Result<Vec<Reference>, ExpressionError> {
        let mut references = Vec::new();
        for at in 0..self.tokens.len() {
            let (root, name) = match self.names(at) {
                Some("steps") => (Root::Step, Some(self.step_name(at)?)),
                Some("inputs") => (Root::Input, self.member(at)),
                Some(CONTEXT) if !self.binds(CONTEXT) => (Root::Context, Some(self.key_name(at)?)),
                Some(_) | None => continue,
            };
            if let Some(name) = name {
                references.push(Reference {
                    root,
                    name: name.to_owned(),
                    offset: error_at(self.source, self.tokens[at].start, "").offset,
                });
            }
        }
        Ok(references)
    }

    /// The name at this token, if it is one and no field of something.
    fn names(&self, at: usize) -> Option<&'s str> {
        let after_dot = at > 0 && self.tokens[at - 1].kind == TokenKind::TokDot;
        let token = self.tokens.get(at)?;
        (token.kind == TokenKind::TokIdent && !after_dot).then_some(token.text)
    }

    fn step_name(&self, at: usize) -> Result<&'s str, ExpressionError> {
        self.member(at).ok_or_else(|| {
            let message = "a step is named by its id, as in `steps.build` or `steps[\"x-y\"]`";
            error_at(self.source, self.tokens[at].start, message)
        })
    }

    fn key_name(&self, at: usize) -> Result<&'s str, ExpressionError> {
        self.member(at).ok_or_else(|| {
            let message = "a context key is named by a constant, as in `context.plan`";
            error_at(self.source, self.tokens[at].start, message)
        })
    }

    /// True if a macro has a variable of this name.
    fn binds(&self, name: &str) -> bool {
        self.tokens.windows(5).any(|window| {
            let texts = window.iter().map(|token| token.text).collect::<Vec<_>>();
            matches!(texts.as_slice(), [".", of, "(", variable, ","] if MACROS.contains(of) && *variable == name)
        })
    }

    /// The constant field read of the name at this token.
    fn member(&self, at: usize) -> Option<&'s str> {
        let (sign, name) = (self.tokens.get(at + 1)?, self.tokens.get(at + 2)?);
        match (sign.kind, name.kind) {
            (TokenKind::TokDot, TokenKind::TokIdent | TokenKind::TokReservedWord) => {
                Some(name.text)
            }
            (TokenKind::TokLeftBracket, TokenKind::TokString) => {
                let closed = self.tokens.get(at + 3)?.kind == TokenKind::TokRightBracket;
                unquoted(name.text).filter(|_| closed)
            }
            _ => None,
        }
    }
}

/// A text in plain quotes without escapes; ids and input names need no more.
fn unquoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains(['\\', quote])).then_some(inner)
}

fn next<'s>(lexer: &mut Lexer<'s>, source: &'s str) -> Result<Option<Token<'s>>, ExpressionError> {
    loop {
        let token = lexer.lex();
        let kind = token.kind;
        if matches!(kind, TokenKind::TokWhitespace | TokenKind::TokComment) {
            continue;
        }
        if kind == TokenKind::TokEnd {
            return Ok(None);
        }
        if kind == TokenKind::TokError {
            let message = lexer.get_error().map(|error| error.message.to_lowercase());
            let message = message.as_deref().unwrap_or("this is no part of CEL");
            return Err(error_at(source, token.start, message));
        }
        return Ok(Some(Token {
            kind,
            start: token.start,
            text: source.get(token.start..token.end).unwrap_or_default(),
        }));
    }
}

/// The byte behind the `}` that closes an expression beginning at the start of `rest`; `None` if
/// it is not closed. Braces in texts and maps do not count.
pub(crate) fn closing_brace(rest: &str) -> Option<usize> {
    let mut lexer = Lexer::new(rest);
    let mut open = 0_usize;
    loop {
        let token = lexer.lex();
        if token.kind == TokenKind::TokRightBrace && open == 0 {
            return Some(token.start);
        }
        open += usize::from(token.kind == TokenKind::TokLeftBrace);
        open -= usize::from(token.kind == TokenKind::TokRightBrace);
        if token.kind == TokenKind::TokEnd {
            return None;
        }
        // The parser gets the text up to here and reports the error.
        if token.kind == TokenKind::TokError {
            return rest[token.start..].find('}').map(|at| token.start + at);
        }
    }
}
