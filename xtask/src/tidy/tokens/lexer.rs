//! The lexer: bytes of a Rust file to tokens and comments.
//!
//! Knows only enough of Rust to separate code from strings and comments. Must not fail on valid Rust.

use super::{Comment, Kind, Source, Token};

/// Splits `text` into tokens and comments. `Err` holds the line where it stops being Rust.
pub(crate) fn lex(text: &str) -> Result<Source, usize> {
    let mut lexer = Lexer { text, at: 0, line: 1, open: Vec::new(), source: Source::default() };
    if text.starts_with("#!") && !text.starts_with("#![") {
        lexer.take_line();
    }
    while lexer.at < text.len() {
        lexer.next()?;
    }
    lexer.open.last().map_or(Ok(lexer.source), |(_, line)| Err(*line))
}

struct Lexer<'t> {
    text: &'t str,
    /// Offset of the next byte.
    at: usize,
    /// Line of the next byte, from 1.
    line: usize,
    /// Brackets that are not closed yet, each with its line.
    open: Vec<(char, usize)>,
    source: Source,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn next(&mut self) -> Result<(), usize> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(()) };
        if first == '\n' {
            self.line += 1;
            self.at += 1;
        } else if first.is_whitespace() {
            self.at += first.len_utf8();
        } else if rest.starts_with("//") {
            self.line_comment();
        } else if rest.starts_with("/*") {
            self.block_comment()?;
        } else if first == '"' {
            self.quoted(0)?;
        } else if first == '\'' {
            self.quote()?;
        } else if first.is_ascii_digit() {
            self.number();
        } else if is_word(first) {
            self.word()?;
        } else {
            self.sign(first)?;
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let text = self.rest()[..length].to_owned();
        let lines = text.bytes().filter(|byte| *byte == b'\n').count();
        self.source.tokens.push(Token { text, line: self.line, kind });
        self.at += length;
        self.line += lines;
    }

    fn take_line(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find('\n').unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn line_comment(&mut self) {
        let text = self.take_line();
        let is_doc =
            text.starts_with("//!") || text.starts_with("///") && !text.starts_with("////");
        let words = text.get(if is_doc { 3 } else { 2 }..).unwrap_or_default();
        let comment = Comment { text: words.to_owned(), line: self.line, is_doc };
        self.source.comments.push(comment);
    }

    fn block_comment(&mut self) -> Result<(), usize> {
        let (start, rest) = (self.line, self.rest());
        let (mut depth, mut end) = (0_usize, 0);
        while depth > 0 || end == 0 {
            let tail = rest.get(end..).filter(|tail| !tail.is_empty()).ok_or(start)?;
            if tail.starts_with("/*") {
                depth += 1;
                end += 2;
            } else if tail.starts_with("*/") {
                depth -= 1;
                end += 2;
            } else {
                end += tail.chars().next().map_or(1, char::len_utf8);
            }
        }
        let body = rest.get(2..end - 2).unwrap_or_default();
        for (below, text) in body.split('\n').enumerate() {
            let comment = Comment { text: text.to_owned(), line: start + below, is_doc: false };
            self.source.comments.push(comment);
        }
        self.line += body.matches('\n').count();
        self.at += end;
        Ok(())
    }

    /// A string whose opening quote stands `prefix` bytes ahead, with escapes.
    fn quoted(&mut self, prefix: usize) -> Result<(), usize> {
        let mut escaped = false;
        let quote = self.rest().as_bytes()[prefix];
        for (at, byte) in self.rest().bytes().enumerate().skip(prefix + 1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                end if end == quote => {
                    self.push(Kind::Text, at + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(self.line)
    }

    /// A character, or the apostrophe of a lifetime.
    fn quote(&mut self) -> Result<(), usize> {
        let mut after = self.rest().chars().skip(1);
        let (next, then) = (after.next(), after.next());
        match next {
            Some('\\') => self.quoted(0),
            Some(one) if then == Some('\'') => {
                self.push(Kind::Text, 2 + one.len_utf8());
                Ok(())
            }
            _ => {
                self.push(Kind::Sign, 1);
                Ok(())
            }
        }
    }

    fn number(&mut self) {
        let bytes = self.rest().as_bytes();
        let is_plain = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let mut end = 0;
        while let Some(byte) = bytes.get(end) {
            let is_exponent = matches!(byte, b'+' | b'-')
                && matches!(bytes[end - 1], b'e' | b'E')
                && !bytes.starts_with(b"0x");
            let is_point = *byte == b'.' && is_plain(end + 1) && !bytes[..end].contains(&b'.');
            if !(byte.is_ascii_alphanumeric() || *byte == b'_' || is_exponent || is_point) {
                break;
            }
            end += 1;
        }
        self.push(Kind::Number, end);
    }

    /// An identifier, or a literal that begins with letters: `b"…"`, `r#"…"#`.
    fn word(&mut self) -> Result<(), usize> {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
        let is_text = after[hashes..].starts_with('"');
        match word {
            "r" | "br" | "cr" if is_text => {
                let close = format!("\"{}", "#".repeat(hashes));
                let open = end + hashes + 1;
                let length = rest[open..].find(&close).ok_or(self.line)?;
                self.push(Kind::Text, open + length + close.len());
                Ok(())
            }
            "b" | "c" if after.starts_with('"') => self.quoted(end),
            "b" if after.starts_with('\'') => self.quoted(end),
            "r" if hashes == 1 => {
                self.at += 2;
                self.word()
            }
            _ => {
                self.push(Kind::Word, end);
                Ok(())
            }
        }
    }

    fn sign(&mut self, sign: char) -> Result<(), usize> {
        match sign {
            '(' | '[' | '{' => self.open.push((sign, self.line)),
            ')' | ']' | '}' => {
                let opened = self.open.pop().map(|(open, _)| open);
                let fits = matches!(
                    (opened, sign),
                    (Some('('), ')') | (Some('['), ']') | (Some('{'), '}')
                );
                if !fits {
                    return Err(self.line);
                }
            }
            _ => {}
        }
        self.push(Kind::Sign, sign.len_utf8());
        Ok(())
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
