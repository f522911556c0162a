//! A parsed CEL expression.
//!
//! Parsing bounds the size and nesting of the tree first, so that no later walk can run out of
//! stack; names and functions are checked here, so that a typing error is found before a run.

use cel::{common::ast::IdedExpr, parser::PrattParser};
use plue_plan::validate::{ExpressionError, Reference};
use serde_json::Value as Json;

use crate::{
    error::Error,
    evaluate::{self, kind_of},
    expression::{check::Checker, kinds::Kinds, tokens::Tokens, types::Typer},
    reads::Reads,
    scope::Scope,
};

mod check;
pub(crate) mod kinds;
pub(crate) mod tokens;
mod types;

/// Bytes of one expression.
pub const MAX_BYTES: usize = plue_plan::limits::MAX_EXPRESSION_BYTES;
/// Tokens of one expression.
pub const MAX_TOKENS: usize = 4_000;
/// `? :` in one expression; the parser recurses once for each.
pub const MAX_CONDITIONALS: usize = 64;
/// Levels of the tree, after macros are expanded.
pub const MAX_DEPTH: usize = 200;
/// Units of work of one evaluation: one for each node visited and for each eight bytes copied.
pub const MAX_COST: u64 = 2_000_000;

/// A CEL expression that parses and uses only names and functions that exist.
#[derive(Debug, Clone)]
pub struct Expression {
    source: String,
    tree: IdedExpr,
    references: Vec<Reference>,
    kinds: Kinds,
}

// === impl Expression ===

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// It does not parse, is over a limit of this module, uses a name or function that does not
    /// exist, or gives an operator or function what it never takes. The offset is in characters from 0.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        let tokens = Tokens::of(source)?;
        let parser = PrattParser::new().error_recovery_limit(1);
        let tree = parser.parse(source).map_err(|errors| {
            let first = errors.errors.first();
            let (line, column) = first.map_or((1, 1), |error| error.pos);
            let message = first.map_or("it does not parse", |error| &error.msg);
            error_at(source, byte_offset(source, line, column), &plain(message))
        })?;
        if depth(&tree) > MAX_DEPTH {
            let message = format!("it is nested deeper than {MAX_DEPTH} levels");
            return Err(error_at(source, 0, &message));
        }
        let references = tokens.references()?;
        Checker::new(&tokens).check(&tree)?;
        let kinds = Typer::new(&tokens).kinds(&tree)?;
        Ok(Self { source: source.to_owned(), tree, references, kinds })
    }

    /// Parses an expression that must be true or false.
    ///
    /// # Errors
    /// As [`Expression::parse`]; also when it can be neither.
    pub fn parse_condition(source: &str) -> Result<Self, ExpressionError> {
        let parsed = Self::parse(source)?;
        if parsed.kinds.can_be(Kinds::TRUTH) {
            return Ok(parsed);
        }
        let message = format!("a condition is true or false, and this is {}", parsed.kinds.shown());
        Err(error_at(source, 0, &message))
    }

    /// The source text, as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The steps and inputs it names, in the order of the text.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Evaluates the expression. Its reads are added to `reads`, also if there is no value.
    ///
    /// # Errors
    /// Any [`Error`]; nothing is silently empty.
    pub fn evaluate(&self, scope: &Scope<'_>, reads: &mut Reads) -> Result<Json, Error> {
        evaluate::evaluate(&self.tree, scope, reads)
    }

    /// Its value as a condition.
    ///
    /// # Errors
    /// As [`Expression::evaluate`]; also when the value is neither true nor false.
    pub fn truth(&self, scope: &Scope<'_>, reads: &mut Reads) -> Result<bool, Error> {
        match self.evaluate(scope, reads)? {
            Json::Bool(truth) => Ok(truth),
            other @ (Json::Null
            | Json::Number(_)
            | Json::String(_)
            | Json::Array(_)
            | Json::Object(_)) => Err(Error::NotBoolean(kind_of(&other).to_owned())),
        }
    }
}

/// An error at a byte of the source; the offset it carries counts characters.
pub(crate) fn error_at(source: &str, byte: usize, message: &str) -> ExpressionError {
    let end = source.floor_char_boundary(byte);
    ExpressionError { offset: source[..end].chars().count(), message: message.to_owned() }
}

/// The parser counts lines from 1 and columns in bytes from 1.
fn byte_offset(source: &str, line: isize, column: isize) -> usize {
    let before = usize::try_from(line - 1).unwrap_or(0);
    let start: usize = source.split_inclusive('\n').take(before).map(str::len).sum();
    (start + usize::try_from(column - 1).unwrap_or(0)).min(source.len())
}

/// The parser's words, in the style of ours.
fn plain(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    message
        .replace("mismatched input '<EOF>' expecting expression", "it ends too early")
        .replace("mismatched input", "unexpected")
        .replace(" expecting <EOF>", "")
}

/// The longest path of the tree, by an explicit stack.
fn depth(tree: &IdedExpr) -> usize {
    let (mut stack, mut deepest) = (vec![(tree, 1)], 0);
    while let Some((node, level)) = stack.pop() {
        deepest = deepest.max(level);
        check::children(node, &mut |child| stack.push((child, level + 1)));
    }
    deepest
}

#[cfg(test)]
mod tests;
