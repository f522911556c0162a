//! The kinds of values, checked before a run: an argument that an operator or function can never
//! take is an error now. Unknown values (outputs, inputs, payloads) may be anything.

use std::collections::HashMap;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr,
};
use plue_plan::validate::{ExpressionError, did_you_mean};

use crate::{
    expression::{kinds::Kinds, tokens::Tokens},
    function, operator,
    scope::{CONTEXT, STEP_FIELDS, is_event_text},
};

/// Every status that a step can have.
const STATUSES: [&str; 9] = [
    "success",
    "failed",
    "skipped",
    "cancelled",
    "timed_out",
    "pending",
    "queued",
    "running",
    "waiting",
];

/// The walk; in the order of the source, so that signs can be counted.
pub(super) struct Typer<'t> {
    tokens: &'t Tokens<'t>,
    variables: Vec<(String, Kinds)>,
    /// Number of passed occurrences of each word or sign.
    passed: HashMap<String, usize>,
}

type Kind = Result<Kinds, ExpressionError>;

// === impl Typer ===

impl<'t> Typer<'t> {
    pub(super) fn new(tokens: &'t Tokens<'t>) -> Self {
        Self { tokens, variables: Vec::new(), passed: HashMap::new() }
    }

    /// Possible kinds of a tree's value.
    pub(super) fn kinds(&mut self, node: &IdedExpr) -> Kind {
        match &node.expr {
            Expr::Literal(literal) => Ok(literal_kinds(literal)),
            Expr::Ident(name) => Ok(self.name(name)),
            Expr::List(list) => {
                self.pass("[");
                for element in &list.elements {
                    self.kinds(element)?;
                }
                Ok(Kinds::LIST)
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.kinds(&entry.key)?;
                        self.kinds(&entry.value)?;
                    }
                }
                Ok(Kinds::MAP)
            }
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(parts) => self.comprehension(parts),
            Expr::Struct(_) | Expr::Unspecified => Ok(Kinds::ANY),
        }
    }

    fn name(&self, name: &str) -> Kinds {
        if let Some((_, kinds)) = self.variables.iter().rev().find(|(bound, _)| bound == name) {
            return *kinds;
        }
        match name {
            "visit" | "attempt" => Kinds::NUMBER,
            "steps" | "inputs" | "env" | CONTEXT => Kinds::MAP,
            _ => Kinds::ANY,
        }
    }

    fn select(&mut self, select: &SelectExpr) -> Kind {
        let of = self.kinds(&select.operand)?;
        if select.test {
            return Ok(Kinds::TRUTH);
        }
        if is_step(&select.operand) {
            let field = select.field.as_str();
            if !STEP_FIELDS.contains(&field) {
                let advice = match did_you_mean(field, STEP_FIELDS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it has {}", STEP_FIELDS.join(", ")),
                };
                let message = format!("a step has no field `{field}`; {advice}");
                return Err(self.tokens.error_at_word(field, &message));
            }
            return Ok(match field {
                "status" => Kinds::TEXT,
                "error" => Kinds::TEXT.or(Kinds::NULL),
                "visit" | "attempts" => Kinds::NUMBER,
                _ => Kinds::ANY,
            });
        }
        if !of.can_be(Kinds::MAP) {
            let message = format!("{} has no field `{}`", of.shown(), select.field);
            return Err(self.tokens.error_at_word(&select.field, &message));
        }
        let event = matches!(&select.operand.expr, Expr::Ident(name) if name == "event");
        Ok(match (event, select.field.as_str()) {
            (true, field) if is_event_text(field) => Kinds::TEXT.or(Kinds::NULL),
            _ => Kinds::ANY,
        })
    }

    fn call(&mut self, call: &CallExpr) -> Kind {
        if operator::is_operator(&call.func_name) {
            return self.operator(call);
        }
        let mut kinds = Vec::with_capacity(call.args.len() + 1);
        if let Some(target) = &call.target {
            kinds.push(self.kinds(target)?);
        }
        let at = self.pass(&call.func_name);
        for arg in &call.args {
            kinds.push(self.kinds(arg)?);
        }
        let Some(function) = function::find(&call.func_name) else {
            return Ok(Kinds::ANY);
        };
        for (position, given) in kinds.iter().enumerate() {
            let wanted = function.kinds(position);
            if !given.can_be(wanted) {
                let (name, wanted, given) = (&call.func_name, wanted.shown(), given.shown());
                let message =
                    format!("`{name}` takes {wanted}, and this is {given}: {}", function.usage);
                return Err(self.error(&call.func_name, at, &message));
            }
        }
        let lenient = function::LENIENT.contains(&call.func_name.as_str());
        let all = kinds.iter().copied().reduce(Kinds::or).unwrap_or(Kinds::ANY);
        Ok(if lenient { all } else { function.gives })
    }

    fn operator(&mut self, call: &CallExpr) -> Kind {
        let name = call.func_name.as_str();
        let sign = match operator::sign_of(name) {
            "[…]" => "[",
            "? :" => "?",
            sign => sign,
        };
        let made = self.is_made_by_a_macro(call);
        match call.args.as_slice() {
            [operand] => {
                let at = if made { 0 } else { self.pass(sign) };
                let kinds = self.kinds(operand)?;
                let takes = if name == "-_" { Kinds::NUMBER } else { Kinds::TRUTH };
                if name == operator::NOT_STRICTLY_FALSE {
                    return Ok(Kinds::TRUTH);
                }
                self.takes((sign, at), kinds, takes)?;
                Ok(takes)
            }
            [left, right] => {
                let left_kinds = self.kinds(left)?;
                let at = if made { 0 } else { self.pass(sign) };
                let right_kinds = self.kinds(right)?;
                if !made {
                    self.status(name, left, right)?;
                }
                self.binary(name, (sign, at), (left_kinds, right_kinds))
            }
            [condition, yes, no] => {
                let condition = self.kinds(condition)?;
                let at = if made { 0 } else { self.pass(sign) };
                self.takes((sign, at), condition, Kinds::TRUTH)?;
                Ok(self.kinds(yes)?.or(self.kinds(no)?))
            }
            _ => Ok(Kinds::ANY),
        }
    }

    fn binary(&self, name: &str, sign: (&str, usize), (l, r): (Kinds, Kinds)) -> Kind {
        const PLUS: Kinds = Kinds::NUMBER.or(Kinds::TEXT).or(Kinds::LIST);
        const ORDERED: Kinds = Kinds::NUMBER.or(Kinds::TEXT).or(Kinds::TRUTH);
        match name {
            operator::AND | operator::OR => {
                self.takes(sign, l, Kinds::TRUTH)?;
                self.takes(sign, r, Kinds::TRUTH)?;
                Ok(Kinds::TRUTH)
            }
            operator::INDEX => {
                self.takes(sign, l, Kinds::LIST.or(Kinds::MAP))?;
                self.takes(sign, r, Kinds::NUMBER.or(Kinds::TEXT))?;
                Ok(Kinds::ANY)
            }
            "_==_" | "_!=_" => {
                if !l.can_be(r) {
                    let (l, r) = (l.shown(), r.shown());
                    let message = format!("{l} and {r} are never equal");
                    return Err(self.error(sign.0, sign.1, &message));
                }
                Ok(Kinds::TRUTH)
            }
            "_<_" | "_<=_" | "_>_" | "_>=_" => {
                self.alike(sign, (l, r), ORDERED)?;
                Ok(Kinds::TRUTH)
            }
            "_+_" => self.alike(sign, (l, r), PLUS),
            "_-_" | "_*_" | "_/_" | "_%_" => self.alike(sign, (l, r), Kinds::NUMBER),
            "@in" => {
                self.takes(sign, r, Kinds::LIST.or(Kinds::MAP))?;
                Ok(Kinds::TRUTH)
            }
            _ => Ok(Kinds::ANY),
        }
    }

    /// One operand can be what the operator takes.
    fn takes(
        &self,
        sign: (&str, usize),
        given: Kinds,
        takes: Kinds,
    ) -> Result<(), ExpressionError> {
        if given.can_be(takes) {
            return Ok(());
        }
        let (shown, takes, given) = (written(sign.0), takes.shown(), given.shown());
        let message = format!("`{shown}` takes {takes}, and this is {given}");
        Err(self.error(sign.0, sign.1, &message))
    }

    /// Both operands can be of one kind that the operator takes.
    fn alike(&self, sign: (&str, usize), (l, r): (Kinds, Kinds), takes: Kinds) -> Kind {
        let both = l.and(r).and(takes);
        if both.can_be(Kinds::ANY) {
            return Ok(both);
        }
        let (shown, l, r) = (written(sign.0), l.shown(), r.shown());
        let message = format!(
            "`{shown}` does not take {l} and {r}; convert one with `int`, `double` or `string`"
        );
        Err(self.error(sign.0, sign.1, &message))
    }

    /// A status is one of a few words, and a slip in one is never equal.
    fn status(&self, name: &str, l: &IdedExpr, r: &IdedExpr) -> Result<(), ExpressionError> {
        if !matches!(name, "_==_" | "_!=_") {
            return Ok(());
        }
        for (side, other) in [(l, r), (r, l)] {
            let Expr::Select(select) = &side.expr else { continue };
            let Expr::Literal(LiteralValue::String(word)) = &other.expr else { continue };
            let word = word.to_string();
            if is_step(&select.operand)
                && select.field == "status"
                && !STATUSES.contains(&word.as_str())
            {
                let advice = match did_you_mean(&word, STATUSES) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("one of {}", STATUSES[..5].join(", ")),
                };
                let message = format!("no step has the status '{word}'; {advice}");
                return Err(self.tokens.error_at_text(&word, &message));
            }
        }
        Ok(())
    }

    fn comprehension(&mut self, parts: &ComprehensionExpr) -> Kind {
        let range = self.kinds(&parts.iter_range)?;
        if !range.can_be(Kinds::LIST.or(Kinds::MAP)) {
            let message = format!("only a list or map has elements, not {}", range.shown());
            return Err(self.tokens.error_at_word(&parts.iter_var, &message));
        }
        let bound = self.variables.len();
        // The list that a macro begins with is nowhere in the source.
        let start = match &parts.accu_init.expr {
            Expr::List(_) => Kinds::LIST,
            Expr::Literal(literal) => literal_kinds(literal),
            _ => Kinds::ANY,
        };
        self.variables.push((parts.accu_var.clone(), start));
        self.variables.push((parts.iter_var.clone(), Kinds::ANY));
        self.variables.extend(parts.iter_var2.clone().map(|name| (name, Kinds::ANY)));
        self.kinds(&parts.loop_step)?;
        let result = self.kinds(&parts.result);
        self.variables.truncate(bound);
        result
    }

    /// True if an operator comes from a macro: the accumulator is one of its operands.
    fn is_made_by_a_macro(&self, call: &CallExpr) -> bool {
        let accumulator =
            |arg: &IdedExpr| matches!(&arg.expr, Expr::Ident(name) if name.starts_with('@'));
        call.args.iter().any(accumulator)
    }

    /// Counts a word or sign; which occurrence this one is, from 0.
    fn pass(&mut self, word: &str) -> usize {
        let count = self.passed.entry(word.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    fn error(&self, word: &str, occurrence: usize, message: &str) -> ExpressionError {
        self.tokens.error_at_nth(word, occurrence, message)
    }
}

fn written(sign: &str) -> &str {
    match sign {
        "?" => "? :",
        "[" => "[…]",
        other => other,
    }
}

/// True for `steps.x` and `steps["x"]`.
fn is_step(node: &IdedExpr) -> bool {
    let is_steps = |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if name == "steps");
    match &node.expr {
        Expr::Select(select) => !select.test && is_steps(&select.operand),
        Expr::Call(call) if call.func_name == operator::INDEX => {
            call.args.first().is_some_and(is_steps)
        }
        _ => false,
    }
}

fn literal_kinds(literal: &LiteralValue) -> Kinds {
    match literal {
        LiteralValue::Boolean(_) => Kinds::TRUTH,
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Kinds::NUMBER,
        LiteralValue::Null => Kinds::NULL,
        LiteralValue::String(_) => Kinds::TEXT,
        LiteralValue::Bytes(_) => Kinds::ANY,
    }
}
