//! The static check: every name and function of an expression exists.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use plue_plan::validate::{ExpressionError, did_you_mean};

use crate::{
    expression::tokens::Tokens,
    function, operator,
    scope::{CONTEXT, EVENT_FIELDS, ROOTS},
};

/// A walk over the tree that knows which variables are bound.
pub(super) struct Checker<'t> {
    tokens: &'t Tokens<'t>,
    variables: Vec<String>,
}

// === impl Checker ===

impl<'t> Checker<'t> {
    pub(super) fn new(tokens: &'t Tokens<'t>) -> Self {
        Self { tokens, variables: Vec::new() }
    }

    pub(super) fn check(&mut self, node: &IdedExpr) -> Result<(), ExpressionError> {
        match &node.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Call(call) => {
                let args = call.args.len() + usize::from(call.target.is_some());
                self.function(&call.func_name, args)?;
                self.children(node)
            }
            Expr::Comprehension(loop_) => {
                if ROOTS.contains(&loop_.iter_var.as_str()) {
                    let message = format!("`{}` cannot be the name of a variable", loop_.iter_var);
                    return Err(self.tokens.error_at_word(&loop_.iter_var, &message));
                }
                self.check(&loop_.iter_range)?;
                self.check(&loop_.accu_init)?;
                let bound = self.variables.len();
                self.variables.push(loop_.iter_var.clone());
                self.variables.extend(loop_.iter_var2.clone());
                self.variables.push(loop_.accu_var.clone());
                let inner = [&loop_.loop_cond, &loop_.loop_step, &loop_.result];
                inner.into_iter().try_for_each(|part| self.check(part))?;
                self.variables.truncate(bound);
                Ok(())
            }
            Expr::Struct(message) => {
                let name = &message.type_name;
                let text =
                    format!("`{name}{{…}}` makes a message; a map is written {{\"key\": value}}");
                Err(self.tokens.error_at_name(name, &text))
            }
            Expr::List(_) | Expr::Literal(_) | Expr::Map(_) | Expr::Select(_) => {
                self.children(node)
            }
            Expr::Unspecified => Err(self.tokens.error_at_name("", "it does not parse")),
        }
    }

    fn children(&mut self, node: &IdedExpr) -> Result<(), ExpressionError> {
        let mut parts = Vec::new();
        children(node, &mut |child| parts.push(child));
        parts.into_iter().try_for_each(|part| self.check(part))
    }

    fn name(&self, name: &str) -> Result<(), ExpressionError> {
        if ROOTS.contains(&name)
            || name == CONTEXT
            || self.variables.iter().any(|bound| bound == name)
        {
            return Ok(());
        }
        let known = ROOTS.into_iter().chain(self.variables.iter().map(String::as_str));
        let advice = if EVENT_FIELDS.contains(&name) {
            format!("did you mean `event.{name}`?")
        } else if let Some(near) = did_you_mean(name, known) {
            format!("did you mean `{near}`?")
        } else {
            format!("a text is written '{name}', a step `steps.{name}`, an input `inputs.{name}`")
        };
        let message = format!("there is no `{name}` here; {advice}");
        Err(self.tokens.error_at_name(name, &message))
    }

    fn function(&self, name: &str, args: usize) -> Result<(), ExpressionError> {
        if operator::is_operator(name) {
            return Ok(());
        }
        let Some(function) = function::find(name) else {
            let near = did_you_mean(name, function::names());
            let advice = near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
            let message = format!("there is no function `{name}`{advice}");
            return Err(self.tokens.error_at_word(name, &message));
        };
        if function.takes(args) {
            return Ok(());
        }
        let message = format!("`{name}` does not take {args} values: {}", function.usage);
        Err(self.tokens.error_at_word(name, &message))
    }
}

/// Visits the direct children of a node.
pub(super) fn children<'n>(node: &'n IdedExpr, seen: &mut dyn FnMut(&'n IdedExpr)) {
    match &node.expr {
        Expr::Call(call) => {
            call.target.iter().for_each(|target| seen(target));
            call.args.iter().for_each(seen);
        }
        Expr::Comprehension(loop_) => {
            for part in [
                &loop_.iter_range,
                &loop_.accu_init,
                &loop_.loop_cond,
                &loop_.loop_step,
                &loop_.result,
            ] {
                seen(part);
            }
        }
        Expr::List(list) => list.elements.iter().for_each(seen),
        Expr::Map(map) => map.entries.iter().for_each(|entry| entry_children(&entry.expr, seen)),
        Expr::Struct(message) => {
            message.entries.iter().for_each(|entry| entry_children(&entry.expr, seen));
        }
        Expr::Select(select) => seen(&select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry_children<'n>(entry: &'n EntryExpr, seen: &mut dyn FnMut(&'n IdedExpr)) {
    match entry {
        EntryExpr::MapEntry(entry) => {
            seen(&entry.key);
            seen(&entry.value);
        }
        EntryExpr::StructField(field) => seen(&field.value),
    }
}
