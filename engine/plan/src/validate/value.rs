//! Values: depth, numbers, references, and the size of expressions.
//!
//! Must not parse an expression: see `expression`.

use serde_json::{Number, Value as Json};

use crate::{
    codes, limits,
    validate::{
        report::{Quoted, Report, Site},
        schema, text,
    },
    value::{EXPR_KEY, Node, SECRET_KEY, TEMPLATE_KEY, classify},
    walk::{Field, Part},
};

/// The largest whole number that a JSON number of RFC 8785 holds exactly.
pub(super) const MAX_EXACT: u64 = 1 << 53;
const MAX_EXACT_F64: f64 = 9_007_199_254_740_994.0;

/// Checks one part of the plan by what it is.
pub(super) fn part(report: &mut Report, site: Site<'_>, field: Field<'_>, part: Part<'_>) {
    match part {
        Part::Cel(source) => {
            let what = format_args!("`{field}`").to_string();
            expression(report, site, &what, source);
        }
        Part::Value(value) => walk(report, (site, field), &value.0, (1, true)),
        Part::Data(json) => walk(report, (site, field), json, (1, false)),
        Part::Schema(json) => {
            walk(report, (site, field), json, (1, false));
            schema::schema(report, site, field, json);
        }
    }
}

/// Checks the size of an expression, and that there is one.
fn expression(report: &mut Report, site: Site<'_>, what: &str, source: &str) {
    let max = limits::MAX_EXPRESSION_BYTES;
    if source.len() > max {
        report.push(site.error(
            codes::EXPRESSION_TOO_LARGE,
            format_args!("the expression of {what} has {} bytes, the limit is {max}", source.len()),
        ));
    } else if source.trim().is_empty() {
        report.push(
            site.error(codes::EMPTY_COMMAND, format_args!("the expression of {what} is empty")),
        );
    }
}

/// `how`: the depth of this node, and whether references are known here.
fn walk(report: &mut Report, at: (Site<'_>, Field<'_>), json: &Json, how: (usize, bool)) {
    let ((site, field), (depth, references)) = (at, how);
    let max = limits::MAX_VALUE_DEPTH;
    if depth > max {
        report.push(site.error(
            codes::VALUE_TOO_DEEP,
            format_args!("`{field}` is nested deeper than {max} levels"),
        ));
        return;
    }
    if references && reference(report, at, json) {
        return;
    }
    match json {
        Json::Number(number) => exact(report, at, number),
        Json::Array(items) => {
            for item in items {
                walk(report, at, item, (depth + 1, references));
            }
        }
        Json::Object(map) => {
            for item in map.values() {
                walk(report, at, item, (depth + 1, references));
            }
        }
        Json::Null | Json::Bool(_) | Json::String(_) => {}
    }
}

/// Checks a reference; true if the node is one, valid or not.
fn reference(report: &mut Report, (site, field): (Site<'_>, Field<'_>), json: &Json) -> bool {
    match classify(json) {
        Node::Literal(_) => return false,
        Node::Expr(source) => expression(report, site, &format!("`{field}`"), source),
        Node::Template(source) => {
            let text = format!("the template of `{field}`");
            large(report, site, &text, source);
        }
        Node::Secret(name) => text::secret_name(report, site, name),
        Node::Malformed(_) => report.push(
            site.error(
                codes::BAD_REFERENCE,
                format_args!("`{field}` holds an object with a `$` key that is no reference"),
            )
            .hint(format!(
                "a reference has exactly one key, `{EXPR_KEY}`, `{TEMPLATE_KEY}` or `{SECRET_KEY}`, and text as its value"
            )),
        ),
    }
    true
}

fn exact(report: &mut Report, (site, field): (Site<'_>, Field<'_>), number: &Number) {
    let whole = number.as_u64().or(number.as_i64().map(i64::unsigned_abs));
    // A float of this range is written as a whole number, and so read back as one.
    let float = number.as_f64().filter(|_| number.is_f64());
    let float = float.is_some_and(|n| (MAX_EXACT_F64..1e21).contains(&n.abs()) && n.fract() == 0.0);
    if float || whole.is_some_and(|whole| whole > MAX_EXACT) {
        report.push(
            site.error(
                codes::NUMBER_NOT_EXACT,
                format_args!(
                    "`{field}` holds {number}, beyond the whole numbers that JSON keeps exactly"
                ),
            )
            .hint("write it as text"),
        );
    }
}

/// Checks the size of a script, prompt or message.
pub(super) fn large(report: &mut Report, site: Site<'_>, what: &str, text: &str) {
    let max = limits::MAX_SCRIPT_BYTES;
    if text.len() > max {
        report.push(
            site.error(
                codes::TEXT_TOO_LARGE,
                format_args!("{what} has {} bytes, the limit is {max}", text.len()),
            )
            .hint("move it into a file of the repository"),
        );
    }
}

/// A command, script or prompt: not empty, not too large.
pub(super) fn command(report: &mut Report, site: Site<'_>, what: &str, text: &str) {
    if text.trim().is_empty() {
        report.push(
            site.error(codes::EMPTY_COMMAND, format_args!("{what} is empty"))
                .hint(format!("in {}, a step that does nothing is `true`", Quoted("run"))),
        );
    }
    large(report, site, what, text);
}
