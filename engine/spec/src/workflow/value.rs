//! Values with `${…}` in them: a whole text keeps the type of the value, inside a longer text it is
//! rendered, `$${` is a literal `${`.

use plue_plan::{
    Value, codes as plan_codes, limits,
    validate::ExpressionError,
    value::{EXPR_KEY, SECRET_KEY, TEMPLATE_KEY},
};
use serde_json::{Map, Value as Json};

use crate::{
    codes,
    expression::tokens::closing_brace,
    template::{MAX_PARTS, text_of},
    workflow::{
        lower::Lower,
        problems::quoted,
        rewrite::{Written, rewrite},
        yaml::{Data, Format, Node, SourcePosition, is_lossy},
    },
};

/// A part of a text.
enum Part {
    Text(String),
    Expression(String),
}

/// A value that may hold references.
pub(super) fn value(lower: &mut Lower<'_, '_>, node: &Node) -> Value {
    Value(value_json(lower, node))
}

fn value_json(lower: &mut Lower<'_, '_>, node: &Node) -> Json {
    match &node.data {
        Data::Text(text) => text_value(lower, node, text),
        Data::List(items) => items.iter().map(|item| value_json(lower, item)).collect(),
        Data::Map(entries) => {
            let mut map = Map::new();
            for (key, item) in entries {
                if [EXPR_KEY, SECRET_KEY, TEMPLATE_KEY].contains(&key.text.as_str()) {
                    let message = format!("the key {} is plue's own", quoted(&key.text));
                    let hint = "write `${…}` for an expression, `${secrets.NAME}` for a secret";
                    lower.problems.push(codes::FIELD_VALUE, key.place, message, hint);
                    continue;
                }
                map.insert(key.text.clone(), value_json(lower, item));
            }
            Json::Object(map)
        }
        Data::Number(_, spelled) => {
            check_spelling(lower, spelled, node.place);
            node.json()
        }
        Data::Null | Data::Bool(_) => node.json(),
    }
}

/// Warns of a number that looks like a version or a mode.
pub(super) fn check_spelling(lower: &mut Lower<'_, '_>, spelled: &str, at: SourcePosition) {
    if lower.format == Format::Yaml && is_lossy(spelled) {
        let number = spelled.parse::<f64>().unwrap_or_default();
        let message = format!("{spelled} is the number {number} here");
        let hint = format!("write \"{spelled}\" if the text is meant");
        lower.problems.warn(codes::LOSSY_NUMBER, at, message, hint);
    }
}

fn text_value(lower: &mut Lower<'_, '_>, node: &Node, text: &str) -> Json {
    if !text.contains("${") {
        return Json::String(text.to_owned());
    }
    if let Some(inner) = whole(text) {
        return match written(lower, node, text, 2, inner) {
            Some(Written::Expression(source)) => Value::expr(source).0,
            Some(Written::Constant(value)) => value,
            Some(Written::Secret(name)) => Value::secret(name).0,
            None => Json::Null,
        };
    }
    match parts(lower, node, text) {
        Some(parts) => assembled(&parts),
        None => Json::String(String::new()),
    }
}

/// The parts of a text; `None` if something in it is wrong.
fn parts(lower: &mut Lower<'_, '_>, node: &Node, text: &str) -> Option<Vec<Part>> {
    let (mut parts, mut at, mut count, mut whole) = (Vec::new(), 0, 0, true);
    while let Some(found) = text[at..].find("${").map(|next| at + next) {
        if text[at..found].ends_with('$') {
            parts.push(Part::Text(format!("{}${{", &text[at..found - 1])));
            at = found + 2;
            continue;
        }
        parts.push(Part::Text(text[at..found].to_owned()));
        let start = found + 2;
        let Some(length) = closing_brace(&text[start..]) else {
            let message = "this `${` is not closed by `}`; write `$${` for the characters `${`";
            bad_expression(lower, node, text, found, message);
            return None;
        };
        count += 1;
        if count > MAX_PARTS {
            let message = format!("it has more than {MAX_PARTS} `${{…}}`");
            bad_expression(lower, node, text, found, &message);
            return None;
        }
        match written(lower, node, text, start, &text[start..start + length]) {
            Some(Written::Expression(source)) => parts.push(Part::Expression(source)),
            Some(Written::Constant(value)) => parts.push(Part::Text(text_of(&value))),
            Some(Written::Secret(_)) => {
                let place = within(lower, node, text, found);
                let message = "a secret is never part of a text";
                let hint = "give it to the step with `env:` or `secrets:`";
                lower.problems.push(codes::MISPLACED_SECRET, place, message, hint);
                whole = false;
            }
            None => whole = false,
        }
        at = start + length + 1;
    }
    parts.push(Part::Text(text[at..].to_owned()));
    whole.then_some(parts)
}

/// One expression, written out; what is wrong with it is reported at its place. `start` is its
/// first byte in `text`.
fn written(
    lower: &mut Lower<'_, '_>,
    node: &Node,
    text: &str,
    start: usize,
    source: &str,
) -> Option<Written> {
    match rewrite(source, &lower.names) {
        Ok(written) => paid(lower, node, written),
        Err(ExpressionError { offset, message }) => {
            let byte = source.char_indices().nth(offset).map_or(source.len(), |(at, _)| at);
            bad_expression(lower, node, text, start + byte, &message);
            None
        }
    }
}

/// Variables stand for their values, so that few bytes may become many.
fn paid(lower: &mut Lower<'_, '_>, node: &Node, written: Written) -> Option<Written> {
    lower.written_bytes += match &written {
        Written::Expression(source) => source.len(),
        Written::Constant(value) => weight(value),
        Written::Secret(name) => name.len(),
    };
    if lower.written_bytes <= limits::MAX_IR_BYTES {
        return Some(written);
    }
    if !lower.written_too_much {
        lower.written_too_much = true;
        let message = "with the values of its variables the workflow is larger than the limit";
        lower.problems.error(plan_codes::IR_TOO_LARGE, node.place, message);
    }
    None
}

fn bad_expression(lower: &mut Lower<'_, '_>, node: &Node, text: &str, byte: usize, message: &str) {
    let place = within(lower, node, text, byte);
    lower.problems.error(plan_codes::BAD_EXPRESSION, place, message);
}

/// The CEL of a condition. `${…}` around it is not needed.
pub(super) fn lower_condition(lower: &mut Lower<'_, '_>, node: &Node) -> Option<String> {
    let text = match &node.data {
        Data::Text(text) => text,
        Data::Bool(truth) => return Some(truth.to_string()),
        Data::Null | Data::Number(..) | Data::List(_) | Data::Map(_) => {
            let message = format!("a condition is an expression, not {}", node.kind());
            let hint = "like `steps.test.status == 'success'`";
            lower.problems.push(codes::FIELD_TYPE, node.place, message, hint);
            return None;
        }
    };
    let trimmed = text.trim();
    let (start, source) = match whole(trimmed) {
        Some(inner) => (text.len() - text.trim_start().len() + 2, inner),
        None => (0, text.as_str()),
    };
    match written(lower, node, text, start, source)? {
        Written::Expression(source) => Some(source),
        Written::Constant(value @ Json::Bool(_)) => Some(value.to_string()),
        Written::Constant(_) | Written::Secret(_) => {
            let message = "a condition is true or false, and this is not";
            lower.problems.error(codes::NOT_BOOLEAN, node.place, message);
            None
        }
    }
}

/// The source location of a byte of a text, as precisely as the source allows.
pub(super) fn within(
    lower: &Lower<'_, '_>,
    node: &Node,
    text: &str,
    byte: usize,
) -> SourcePosition {
    let (from, to) = node.place.bytes;
    let raw = lower.source.get(from..to).unwrap_or_default();
    let before = text.get(..byte).unwrap_or(text);
    let rest = text.get(byte..).unwrap_or_default();
    // Without escapes and folding the source is the text, behind its quote.
    let quote = usize::from(raw.starts_with(['"', '\'']));
    let direct = raw.get(quote..).is_some_and(|raw| raw.starts_with(before));
    let found = if direct {
        Some(quote + before.len())
    } else {
        // The rest of its line, looked for as often as it stands before.
        let line = rest.lines().next().unwrap_or_default();
        let probe: String = line.chars().take(40).collect();
        let earlier = text.match_indices(&probe).take_while(|(at, _)| *at < byte).count();
        let known = (!probe.trim().is_empty()).then(|| raw.match_indices(&probe).nth(earlier));
        known.flatten().map(|(at, _)| at)
    };
    match found {
        Some(at) => place_of_byte(lower, from + at),
        None => node.place,
    }
}

fn place_of_byte(lower: &Lower<'_, '_>, byte: usize) -> SourcePosition {
    let before = lower.source.get(..byte).unwrap_or(lower.source);
    let line = before.matches('\n').count() + 1;
    let last = before.rsplit('\n').next().unwrap_or_default();
    let last = if line == 1 { last.trim_start_matches('\u{feff}') } else { last };
    SourcePosition::point(line, last.chars().count() + 1)
}

/// Expression of a text that is one `${…}` and nothing else.
fn whole(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${")?;
    (closing_brace(inner)? + 1 == inner.len()).then(|| &inner[..inner.len() - 1])
}

/// A text, or a template if an expression is left in it.
fn assembled(parts: &[Part]) -> Json {
    let constant = parts.iter().all(|part| matches!(part, Part::Text(_)));
    if constant {
        let texts = parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Expression(_) => "",
        });
        return Json::String(texts.collect());
    }
    let (mut template, mut literal) = (String::new(), String::new());
    for part in parts {
        match part {
            Part::Text(text) => literal.push_str(text),
            Part::Expression(source) => {
                push_literal(&mut template, &std::mem::take(&mut literal), true);
                template.push_str("${");
                template.push_str(source);
                template.push('}');
            }
        }
    }
    push_literal(&mut template, &literal, false);
    Value::template(template).0
}

/// A literal text as it is written in a template.
fn push_literal(template: &mut String, text: &str, before_expression: bool) {
    let escaped = text.replace("${", "$${");
    match escaped.strip_suffix('$').filter(|_| before_expression) {
        // `$` and `${` would read as the escape.
        Some(front) => {
            template.push_str(front);
            template.push_str("${'$'}");
        }
        None => template.push_str(&escaped),
    }
}

fn weight(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len() + 2,
        Json::Array(items) => items.iter().map(|item| weight(item) + 1).sum::<usize>() + 2,
        Json::Object(map) => {
            map.iter().map(|(key, item)| key.len() + weight(item) + 4).sum::<usize>() + 2
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
    }
}
