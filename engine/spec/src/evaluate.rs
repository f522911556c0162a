//! Evaluation: one bounded walk over the tree.
//!
//! Must not panic and must not do more than [`MAX_COST`] units of work for any expression and
//! values. Values are borrowed from the scope as long as possible.

use std::borrow::Cow;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use plue_plan::budget::{Budget, Meter};
use serde_json::{Map, Value as Json};

use crate::{
    error::Error,
    evaluate::path::PathTarget,
    expression::MAX_COST,
    function::{self, LENIENT},
    number::Num,
    operator,
    reads::Reads,
    scope::Scope,
};

mod context;
mod path;

/// Units for an error that `||` or `exists` may pass over: its message has to be made.
const ERROR_COST: usize = 500;

/// A value, borrowed from the scope where possible.
pub(crate) type Val<'a> = Cow<'a, Json>;

/// The value of a tree that [`crate::expression::Expression::parse`] accepted.
pub(crate) fn evaluate(
    tree: &IdedExpr,
    scope: &Scope<'_>,
    reads: &mut Reads,
) -> Result<Json, Error> {
    let cost = Cost(Meter::new(Budget::of_steps(MAX_COST)));
    let mut machine = Machine { scope, reads, variables: Vec::new(), cost };
    let value = machine.eval(tree).and_then(|value| machine.cost.own(value));
    scope.count(machine.cost.0.steps_used())?;
    value
}

/// Remaining budget of an evaluation.
#[derive(Debug)]
pub(crate) struct Cost(Meter);

/// A variable of a comprehension. The accumulator may hold an error, which a later `true` of an
/// `exists` passes over.
struct Variable<'a> {
    name: String,
    value: Result<Val<'a>, Error>,
}

struct Machine<'m, 'a> {
    scope: &'m Scope<'a>,
    reads: &'m mut Reads,
    variables: Vec<Variable<'a>>,
    cost: Cost,
}

// === impl Cost ===

impl Cost {
    /// Subtracts units from the budget.
    pub(crate) fn spend(&mut self, units: usize) -> Result<(), Error> {
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        self.0.steps(units).map_err(|_stopped| Error::TooCostly { limit: MAX_COST })
    }

    /// Spends for a value of this size.
    pub(crate) fn weigh(&mut self, value: &Json) -> Result<(), Error> {
        self.spend(1)?;
        match value {
            Json::String(text) => self.spend(text.len() / 8),
            Json::Array(items) => items.iter().try_for_each(|item| self.weigh(item)),
            Json::Object(map) => map.iter().try_for_each(|(key, item)| {
                self.spend(key.len() / 8)?;
                self.weigh(item)
            }),
            Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
        }
    }

    /// A value of one's own, paid for if it must be copied.
    pub(crate) fn own(&mut self, value: Val<'_>) -> Result<Json, Error> {
        if let Cow::Borrowed(borrowed) = value {
            self.weigh(borrowed)?;
        }
        Ok(value.into_owned())
    }

    /// A copy, paid for.
    fn copy<'a>(&mut self, value: &Val<'a>) -> Result<Val<'a>, Error> {
        if let Cow::Owned(owned) = value {
            self.weigh(owned)?;
        }
        Ok(value.clone())
    }
}

// === impl Machine ===

impl<'m, 'a> Machine<'m, 'a> {
    fn eval(&mut self, node: &IdedExpr) -> Result<Val<'a>, Error> {
        self.cost.spend(1)?;
        match &node.expr {
            Expr::Literal(literal) => {
                let value = literal_value(literal)?;
                self.cost.weigh(&value)?;
                Ok(Cow::Owned(value))
            }
            Expr::List(list) => {
                let mut items = Vec::with_capacity(list.elements.len());
                for element in &list.elements {
                    let item = self.eval(element)?;
                    items.push(self.cost.own(item)?);
                }
                Ok(Cow::Owned(Json::Array(items)))
            }
            Expr::Map(map) => self.map(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Call(call) if call.func_name != operator::INDEX => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Select(select) if select.test => {
                let there = self.place(&select.operand)?.has(&select.field);
                Ok(Cow::Owned(Json::Bool(there)))
            }
            Expr::Select(_) | Expr::Ident(_) | Expr::Call(_) => {
                let (path, value) = self.place(node)?.into_value()?;
                if let Some(path) = path {
                    self.reads.record(&path, &value);
                }
                Ok(value)
            }
            Expr::Struct(_) | Expr::Unspecified => {
                Err(Error::WrongType("this expression has no value".to_owned()))
            }
        }
    }

    /// A thing with a path: a name, a field of one, an element of one.
    fn place(&mut self, node: &IdedExpr) -> Result<PathTarget<'m, 'a>, Error> {
        let found = self.look(node);
        if found.is_err() {
            self.cost.spend(ERROR_COST)?;
        }
        found
    }

    fn look(&mut self, node: &IdedExpr) -> Result<PathTarget<'m, 'a>, Error> {
        match &node.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) if !select.test => {
                self.cost.spend(1)?;
                self.place(&select.operand)?.field(&select.field, &mut self.cost)
            }
            Expr::Call(call) if call.func_name == operator::INDEX => {
                self.cost.spend(1)?;
                let [of, index] = call.args.as_slice() else {
                    return Err(Error::WrongType("`[…]` takes one value".to_owned()));
                };
                let of = self.place(of)?;
                let index = self.eval(index)?;
                of.element(&index, &mut self.cost)
            }
            Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_)
            | Expr::Unspecified => self.eval(node).map(PathTarget::nameless),
        }
    }

    fn name(&mut self, name: &str) -> Result<PathTarget<'m, 'a>, Error> {
        let found = self.variables.iter_mut().rev().find(|bound| bound.name == name);
        let Some(variable) = found else {
            return PathTarget::root(name, self.scope);
        };
        let value = match &mut variable.value {
            Err(error) => return Err(error.clone()),
            // Used once in every turn, then set again: taking it keeps a `map` linear.
            Ok(list) if name.starts_with('@') && list.is_array() => {
                std::mem::replace(list, Cow::Owned(Json::Null))
            }
            Ok(value) => self.cost.copy(value)?,
        };
        Ok(PathTarget::nameless(value))
    }

    fn map<'e>(&mut self, entries: impl Iterator<Item = &'e EntryExpr>) -> Result<Val<'a>, Error> {
        let mut made = Map::new();
        for entry in entries {
            let EntryExpr::MapEntry(entry) = entry else {
                return Err(Error::WrongType("a map has keys and values".to_owned()));
            };
            let key = self.eval(&entry.key)?;
            let Json::String(key) = key.as_ref() else {
                let kind = kind_of(&key);
                return Err(Error::WrongType(format!("the key of a map is a text, not {kind}")));
            };
            let value = self.eval(&entry.value)?;
            let value = self.cost.own(value)?;
            if made.insert(key.clone(), value).is_some() {
                return Err(Error::WrongType(format!("a map has the key `{key}` twice")));
            }
        }
        Ok(Cow::Owned(Json::Object(made)))
    }

    fn call(&mut self, call: &CallExpr) -> Result<Val<'a>, Error> {
        if let Some(result) = self.lazy(call) {
            return result;
        }
        let mut args = Vec::with_capacity(call.args.len() + 1);
        for arg in call.target.as_deref().into_iter().chain(&call.args) {
            args.push(self.eval(arg)?);
        }
        if operator::is_operator(&call.func_name) {
            return operator::apply(&call.func_name, args, &mut self.cost);
        }
        if call.func_name == function::files::NAME && !self.scope.files {
            let message = "`hash_files` can be called in the key of a cache only".to_owned();
            return Err(Error::WrongType(message));
        }
        match function::find(&call.func_name) {
            Some(function) => function.call(&args, &mut self.cost).map(Cow::Owned),
            None => {
                let name = &call.func_name;
                Err(Error::WrongType(format!("there is no function `{name}`")))
            }
        }
    }

    /// The operators that do not need all their operands.
    fn lazy(&mut self, call: &CallExpr) -> Option<Result<Val<'a>, Error>> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operator::CONDITIONAL, [condition, yes, no]) => {
                Some(match self.truth(condition, "`? :`") {
                    Ok(true) => self.eval(yes),
                    Ok(false) => self.eval(no),
                    Err(error) => Err(error),
                })
            }
            (operator::AND, [left, right]) => Some(self.logic(left, right, false)),
            (operator::OR, [left, right]) => Some(self.logic(left, right, true)),
            (operator::NOT_STRICTLY_FALSE, [operand]) => Some(match self.eval(operand) {
                Ok(value) => Ok(Cow::Owned(Json::Bool(value.as_bool() != Some(false)))),
                Err(error) if error.absorbable() => Ok(Cow::Owned(Json::Bool(true))),
                Err(error) => Err(error),
            }),
            (name, _) if LENIENT.contains(&name) => Some(self.lenient(call)),
            _ => None,
        }
    }

    /// The first value that exists and is not `null`; else the last, in any state.
    fn lenient(&mut self, call: &CallExpr) -> Result<Val<'a>, Error> {
        let args: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        for (at, arg) in args.iter().enumerate() {
            let last = at + 1 == args.len();
            match self.eval(arg) {
                Ok(value) if last || !value.is_null() => return Ok(value),
                Ok(_) | Err(Error::Missing { .. }) if !last => {}
                other => return other,
            }
        }
        Ok(Cow::Owned(Json::Null))
    }

    /// `&&` (decided by false) and `||` (decided by true). As in CEL, a deciding side wins over an
    /// error on the other side.
    fn logic(&mut self, l: &IdedExpr, r: &IdedExpr, decides: bool) -> Result<Val<'a>, Error> {
        let sign = if decides { "`||`" } else { "`&&`" };
        let left = self.truth(l, sign);
        match left {
            Ok(truth) if truth == decides => return Ok(Cow::Owned(Json::Bool(decides))),
            Err(error) if !error.absorbable() => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let right = self.truth(r, sign)?;
        if right == decides {
            return Ok(Cow::Owned(Json::Bool(decides)));
        }
        left.map(|_| Cow::Owned(Json::Bool(right)))
    }

    fn truth(&mut self, node: &IdedExpr, sign: &str) -> Result<bool, Error> {
        let value = self.eval(node)?;
        value.as_bool().ok_or_else(|| {
            let kind = kind_of(&value);
            Error::WrongType(format!("{sign} takes true or false, not {kind}"))
        })
    }

    fn comprehension(&mut self, parts: &ComprehensionExpr) -> Result<Val<'a>, Error> {
        let range = self.eval(&parts.iter_range)?;
        let items = items_of(range)?;
        self.cost.spend(items.len())?;
        let start = self.eval(&parts.accu_init)?;
        let base = self.variables.len();
        self.bind(&parts.accu_var, Ok(start));
        let result = self.turns(parts, items, base);
        self.variables.truncate(base);
        result
    }

    fn turns(
        &mut self,
        parts: &ComprehensionExpr,
        items: Vec<Val<'a>>,
        accumulator: usize,
    ) -> Result<Val<'a>, Error> {
        for item in items {
            if !self.truth(&parts.loop_cond, "a condition")? {
                break;
            }
            self.bind(&parts.iter_var, Ok(item));
            let step = self.eval(&parts.loop_step);
            self.variables.truncate(accumulator + 1);
            if let Err(error) = &step
                && !error.absorbable()
            {
                return step;
            }
            if let Some(variable) = self.variables.last_mut() {
                variable.value = step;
            }
        }
        self.eval(&parts.result)
    }

    fn bind(&mut self, name: &str, value: Result<Val<'a>, Error>) {
        self.variables.push(Variable { name: name.to_owned(), value });
    }
}

/// The elements of a list, or the keys of a map.
fn items_of(range: Val<'_>) -> Result<Vec<Val<'_>>, Error> {
    match range {
        Cow::Borrowed(Json::Array(items)) => Ok(items.iter().map(Cow::Borrowed).collect()),
        Cow::Owned(Json::Array(items)) => Ok(items.into_iter().map(Cow::Owned).collect()),
        Cow::Borrowed(Json::Object(map)) => Ok(keys(map.keys())),
        Cow::Owned(Json::Object(map)) => Ok(keys(map.keys())),
        other @ (Cow::Borrowed(_) | Cow::Owned(_)) => {
            let kind = kind_of(&other);
            Err(Error::WrongType(format!("only a list or map has elements, not {kind}")))
        }
    }
}

fn keys<'k, 'v>(keys: impl Iterator<Item = &'k String>) -> Vec<Val<'v>> {
    keys.map(|key| Cow::Owned(Json::String(key.clone()))).collect()
}

fn literal_value(literal: &LiteralValue) -> Result<Json, Error> {
    match literal {
        LiteralValue::Boolean(truth) => Ok(Json::Bool(**truth)),
        LiteralValue::Double(double) => Num::Double(**double).json(),
        LiteralValue::Int(int) => Num::Int(**int).json(),
        LiteralValue::UInt(int) => Ok(Json::Number((**int).into())),
        LiteralValue::Null => Ok(Json::Null),
        LiteralValue::String(text) => Ok(Json::String(text.to_string())),
        LiteralValue::Bytes(_) => {
            Err(Error::WrongType("bytes (b'…') have no place in a plan; use a text".to_owned()))
        }
    }
}

/// Name of a value's kind, for messages.
pub(crate) fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a map",
    }
}
