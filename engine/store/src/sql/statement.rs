//! A statement with its arguments, and how several become one text.

use std::{borrow::Cow, fmt::Write as _};

use jiff::Timestamp;
use serde::Serialize;

use crate::error::Error;

/// One argument. Typed also when absent, because Postgres wants to know.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The text of a statement.
pub(crate) type Text = Cow<'static, str>;

/// A statement with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) text: Text,
    pub(crate) args: Vec<Arg>,
    /// Rows that a write must change, or a read that is sent with writes must find. Another number
    /// means that another writer was faster, and ends the transaction with [`Error::Raced`].
    /// SQLite's writer holds the lock before it reads, so there the number can only be right.
    pub(crate) expect: Option<u64>,
}

// === impl Arg ===

impl Arg {
    pub(crate) fn json<T: Serialize>(value: &T) -> Result<Self, Error> {
        let text = serde_json::to_string(value)
            .map_err(|error| Error::Corrupt(format!("a value is no JSON: {error}")))?;
        Ok(Self::Text(Some(text)))
    }

    pub(crate) fn opt_json<T: Serialize>(value: Option<&T>) -> Result<Self, Error> {
        value.map_or(Ok(Self::Text(None)), Self::json)
    }

    pub(crate) fn count(value: u64) -> Self {
        Self::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u32> for Arg {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Arg {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Arg {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<Timestamp> for Arg {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.as_microsecond()))
    }
}

impl From<Option<Timestamp>> for Arg {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(Timestamp::as_microsecond))
    }
}

// === impl Statement ===

impl Statement {
    pub(crate) fn new(text: impl Into<Text>, args: Vec<Arg>) -> Self {
        Self { text: text.into(), args, expect: None }
    }

    /// With the number of rows it must change.
    pub(crate) fn expect(mut self, rows: u64) -> Self {
        self.expect = Some(rows);
        self
    }

    /// Appends the text to `out`, its placeholders moved on by `offset`.
    pub(crate) fn renumber(&self, offset: usize, out: &mut String) {
        if offset == 0 {
            out.push_str(&self.text);
            return;
        }
        let mut rest = self.text.as_ref();
        while let Some(at) = rest.find('$') {
            let digits = rest[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
            out.push_str(&rest[..=at]);
            let number: usize = rest[at + 1..at + 1 + digits].parse().unwrap_or(0);
            let _never_fails = write!(out, "{}", number + offset);
            rest = &rest[at + 1 + digits..];
        }
        out.push_str(rest);
    }
}

/// `$first, $first+1, …`, `count` of them.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    let mut out = String::with_capacity(count * 4);
    for number in first..first + count {
        if number > first {
            out.push(',');
        }
        let _never_fails = write!(out, "${number}");
    }
    out
}

/// ` AND column IN (…)` for names that are added to the arguments; nothing if there is no choice, and
/// what no row fulfils if the choice is empty.
pub(crate) fn among(column: &str, names: Option<&[String]>, args: &mut Vec<Arg>) -> String {
    let Some(names) = names else { return String::new() };
    if names.is_empty() {
        return " AND 1 = 0".to_owned();
    }
    let list = placeholders(args.len() + 1, names.len());
    args.extend(names.iter().map(|name| Arg::from(name.as_str())));
    format!(" AND {column} IN ({list})")
}

/// Rows of one `INSERT … VALUES`; more are split. Powers of two, so that few texts are prepared.
const ROWS: [usize; 8] = [128, 64, 32, 16, 8, 4, 2, 1];
/// Arguments of one statement; Postgres allows 65,535 and SQLite 32,766.
const MAX_ARGS: usize = 8_192;

/// `{head} (…), (…) {tail}` for all rows, in as few statements as their number of arguments allows.
pub(crate) fn insert_rows(
    head: &'static str,
    columns: usize,
    rows: Vec<Vec<Arg>>,
    tail: &'static str,
) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let take = ROWS
            .into_iter()
            .find(|size| *size <= rows.len() && size * columns <= MAX_ARGS)
            .unwrap_or(1);
        let mut text = String::with_capacity(head.len() + take * columns * 5 + tail.len());
        text.push_str(head);
        for row in 0..take {
            text.push_str(if row == 0 { " (" } else { ", (" });
            text.push_str(&placeholders(row * columns + 1, columns));
            text.push(')');
        }
        text.push(' ');
        text.push_str(tail);
        let args = rows.by_ref().take(take).flatten().collect();
        statements.push(Statement::new(text, args));
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_move_when_statements_are_joined() {
        let mut out = String::new();
        Statement::new("UPDATE t SET a = $1 WHERE b = $12 AND c = $2", Vec::new())
            .renumber(10, &mut out);
        assert_eq!(out, "UPDATE t SET a = $11 WHERE b = $22 AND c = $12");
    }

    #[test]
    fn many_rows_become_few_statements_with_every_argument_once() {
        let rows: Vec<Vec<Arg>> = (0..300_i64).map(|n| vec![n.into(), (n + 1000).into()]).collect();
        let statements = insert_rows("INSERT INTO t (a, b) VALUES", 2, rows, "");
        let sizes: Vec<usize> = statements.iter().map(|one| one.args.len() / 2).collect();
        assert_eq!(sizes, [128, 128, 32, 8, 4]);
        assert!(statements[4].text.ends_with("($7,$8) "));
    }
}
