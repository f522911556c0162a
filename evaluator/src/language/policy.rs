//! The policy on syntax: walks the compiler's own tree, so that there is no second parser to fool.
//!
//! Reports every problem at once and rewrites `x.format(…)` to the guarded formatter. The tree that
//! was checked is the tree that is compiled. Must not run user code.

mod bindings;
mod imports;
mod node;
mod step_functions;

use std::collections::BTreeSet;

use plue_plan::{Code, Diagnostic};
use pyo3::{intern, prelude::*, types::PyList};

use self::{node::Kind, step_functions::StepFunctions};
pub(crate) use self::{
    node::{Kinds, Node},
    step_functions::Reach,
};
use super::{codes, facade, names, source::SourceFile, state::FunctionNode};

/// Nodes of one file at most.
const MAX_NODES: usize = 60_000;
/// Nesting of one file at most.
const MAX_DEPTH: u16 = 120;
/// Problems reported for one file at most.
const MAX_REPORTED: usize = 100;

/// The name that calls of `.format` are rewritten to; no file can write it.
pub(crate) const FORMAT_GUARD: &str = "__plue_format__";

/// Replaces the body of a function that is only the code of steps.
pub(crate) const ELSEWHERE_GUARD: &str = "__plue_elsewhere__";

/// Result of checking one file.
pub(crate) struct Checked {
    /// Every problem, in the order of the text. Empty: the file may run.
    pub(crate) problems: Vec<Diagnostic>,
    /// Modules of `.plue/lib` that the file imports.
    pub(crate) imports: BTreeSet<String>,
    /// The functions of the file.
    pub(crate) functions: Vec<FunctionNode>,
    /// Names that the file reads and that are not there.
    pub(crate) undefined: BTreeSet<String>,
}

/// Position of a node in the scopes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The module's or a function's.
    Plain,
    /// The body of a class.
    Class,
}

/// The file under the policy, and the names around it.
#[derive(Clone, Copy)]
struct PolicySource<'a> {
    kinds: &'a Kinds,
    file: &'a SourceFile,
    file_index: usize,
    /// Names of the modules of `.plue/lib`.
    library: &'a BTreeSet<String>,
}

struct Walk<'a, 'py> {
    py: Python<'py>,
    source: PolicySource<'a>,
    step_functions: StepFunctions,
    stack: Vec<(Node<'py>, u16, Scope)>,
    problems: Vec<Diagnostic>,
    bound: BTreeSet<String>,
    loads: Vec<(String, Node<'py>)>,
    imports: BTreeSet<String>,
    functions: Vec<FunctionNode>,
    undefined: BTreeSet<String>,
    /// `super().__init__` and the like, seen as the function of a call, and our own guards.
    blessed: BTreeSet<usize>,
}

/// Checks and rewrites the tree of one file.
pub(crate) fn check(
    tree: &Bound<'_, PyAny>,
    kinds: &Kinds,
    file: (usize, &SourceFile),
    library: &BTreeSet<String>,
    reach: Reach,
) -> PyResult<Checked> {
    let py = tree.py();
    let Some(root) = kinds.node(tree)? else {
        return Err(pyo3::exceptions::PyTypeError::new_err("not a tree"));
    };
    let step_functions = if file.1.text.contains(".python(") {
        StepFunctions::find(&root, kinds, reach)?
    } else {
        StepFunctions::default()
    };
    let mut walk = Walk {
        py,
        source: PolicySource { kinds, file: file.1, file_index: file.0, library },
        step_functions,
        stack: vec![(root, 1, Scope::Plain)],
        problems: Vec::new(),
        bound: BTreeSet::new(),
        loads: Vec::new(),
        imports: BTreeSet::new(),
        functions: Vec::new(),
        undefined: BTreeSet::new(),
        blessed: BTreeSet::new(),
    };
    walk.run()?;
    Ok(walk.finish())
}

// === impl Walk ===

impl<'py> Walk<'_, 'py> {
    fn run(&mut self) -> PyResult<()> {
        let mut count = 0;
        while let Some((node, depth, scope)) = self.stack.pop() {
            count += 1;
            if count > MAX_NODES {
                let message = format!("the file has more than {MAX_NODES} parts");
                self.report(
                    &node,
                    codes::TOO_COMPLEX,
                    message,
                    "split it into modules in .plue/lib",
                );
                return Ok(());
            }
            if depth > MAX_DEPTH {
                let message = format!("the code is nested more than {MAX_DEPTH} levels deep");
                self.report(
                    &node,
                    codes::TOO_COMPLEX,
                    message,
                    "split it into functions, use a list and a loop",
                );
                return Ok(());
            }
            self.visit(&node, scope)?;
            self.push_children(&node, depth + 1, scope)?;
        }
        Ok(())
    }

    fn push_children(&mut self, node: &Node<'py>, depth: u16, scope: Scope) -> PyResult<()> {
        let from = self.stack.len();
        let (stack, kinds) = (&mut self.stack, self.source.kinds);
        node.for_each_child(kinds, &mut |field, child| {
            let scope = match (node.kind, field) {
                (Kind::ClassDef, "body") => Scope::Class,
                (Kind::FunctionDef | Kind::Lambda, "body") => Scope::Plain,
                (_, _) => scope,
            };
            stack.push((child, depth, scope));
        })?;
        // Children are visited in the order of the text.
        self.stack[from..].reverse();
        Ok(())
    }

    fn visit(&mut self, node: &Node<'py>, scope: Scope) -> PyResult<()> {
        match node.kind {
            Kind::Name => self.name(node, scope),
            Kind::Attribute => self.attribute(node),
            Kind::Call => self.call(node),
            Kind::FunctionDef => self.function(node, scope),
            Kind::ClassDef => self.class(node),
            Kind::Import => self.import(node),
            Kind::ImportFrom => self.import_from(node),
            Kind::Arg
            | Kind::ExceptHandler
            | Kind::MatchAs
            | Kind::MatchStar
            | Kind::MatchMapping => self.binding(node),
            Kind::Keyword => self.keyword(node),
            Kind::Scopes => self.scope_statement(node),
            Kind::MatchClass => self.match_class(node),
            Kind::Comprehension => self.comprehension(node),
            Kind::Denied(what) => {
                let message = format!("{what} is not available while a plan is made");
                self.report(node, codes::FORBIDDEN_SYNTAX, message, denied_hint(what));
                Ok(())
            }
            Kind::Unknown => {
                let message = "this construct is not available while a plan is made";
                self.report(node, codes::FORBIDDEN_SYNTAX, message, "");
                Ok(())
            }
            Kind::Lambda | Kind::Leaf | Kind::Plain => Ok(()),
        }
    }

    fn name(&mut self, node: &Node<'py>, scope: Scope) -> PyResult<()> {
        let id = node.text("id")?;
        let load = node.is_load(self.source.kinds)?;
        if load {
            if id == "__name__" || self.blessed.contains(&node.address()) {
                return Ok(());
            }
            if !(scope == Scope::Class && names::SPECIAL_METHODS.contains(&id.as_str())) {
                self.check_name(node, &id);
            }
            if !id.starts_with("__") {
                self.loads.push((id, node.clone()));
            }
            return Ok(());
        }
        if scope == Scope::Class && names::SPECIAL_METHODS.contains(&id.as_str()) {
            return Ok(());
        }
        self.bind(node, &id);
        Ok(())
    }

    fn attribute(&mut self, node: &Node<'py>) -> PyResult<()> {
        let attr = node.text("attr")?;
        if !attr.is_ascii() {
            self.non_ascii(node, &attr);
            return Ok(());
        }
        let load = node.is_load(self.source.kinds)?;
        if attr == "format" && load {
            self.report(
                node,
                codes::FORMAT_VALUE,
                "`.format` can only be called, not passed around",
                "use an f-string, or write lambda x: \"…\".format(x)",
            );
            return Ok(());
        }
        if self.blessed.contains(&node.address()) {
            return Ok(());
        }
        let own = node.child("value", self.source.kinds)?.is_some_and(|value| value.is_own());
        let hint = if !load && matches!(attr.as_str(), "__name__" | "__doc__") {
            Some("it is read only".to_owned())
        } else {
            names::attribute_refusal(&attr, own)
        };
        if let Some(hint) = hint {
            let message = format!("the attribute `{attr}` is not available while a plan is made");
            self.report(node, codes::FORBIDDEN_ATTRIBUTE, message, hint);
        }
        Ok(())
    }

    fn call(&mut self, node: &Node<'py>) -> PyResult<()> {
        let Some(func) = node.child("func", self.source.kinds)? else {
            return Ok(());
        };
        if func.kind != Kind::Attribute {
            return Ok(());
        }
        let attr = func.text("attr")?;
        if attr == "format" {
            return self.rewrite_format(node, &func);
        }
        if names::SUPER_METHODS.contains(&attr.as_str())
            && let Some(value) = func.child("value", self.source.kinds)?
            && value.kind == Kind::Call
            && let Some(callee) = value.child("func", self.source.kinds)?
            && callee.kind == Kind::Name
            && callee.text("id")? == "super"
        {
            self.blessed.insert(func.address());
        }
        Ok(())
    }

    /// `x.format(a)` → `__plue_format__(x, a)`.
    fn rewrite_format(&mut self, node: &Node<'py>, func: &Node<'py>) -> PyResult<()> {
        let py = self.py;
        let value = func.field(intern!(py, "value"))?;
        let guard = self.source.kinds.new_name(py, FORMAT_GUARD, func)?;
        self.blessed.insert(guard.as_ptr() as usize);
        let arguments = node.field(intern!(py, "args"))?;
        arguments.cast::<PyList>()?.insert(0, value)?;
        node.object.setattr(intern!(py, "func"), guard)
    }

    fn function(&mut self, node: &Node<'py>, scope: Scope) -> PyResult<()> {
        let name = node.text("name")?;
        if scope == Scope::Class && name.starts_with("__") {
            if !names::SPECIAL_METHODS.contains(&name.as_str()) {
                let message = format!("the method `{name}` is not available while a plan is made");
                let hint = if name.ends_with("__") {
                    "choose another name, or one of the special methods that the manual lists"
                } else {
                    "use a name with one leading underscore"
                };
                self.report(node, codes::FORBIDDEN_METHOD, message, hint);
            }
        } else {
            self.bind(node, &name);
        }
        let is_step = self.step_functions.contains(node.address());
        if !is_step && node.is_async_function()? {
            let message = "`async def` is not available while a plan is made";
            let hint = "only the code of a step may be asynchronous: Step.python(id, NAME)";
            self.report(node, codes::FORBIDDEN_SYNTAX, message, hint);
        }
        let body = node.field(intern!(self.py, "body"))?;
        self.functions.push(FunctionNode {
            file: self.source.file_index,
            first_line: node.first_line(self.source.kinds)?,
            name,
            node: node.object.clone().unbind(),
            body: body.unbind(),
        });
        if is_step {
            // The body runs on the runner, never here, so the policy does not apply to it.
            let stub = self.source.kinds.new_call(self.py, ELSEWHERE_GUARD, node)?;
            self.blessed.insert(stub.name_address);
            let body = PyList::new(self.py, [stub.statement])?;
            node.object.setattr(intern!(self.py, "body"), body)?;
        }
        Ok(())
    }

    fn class(&mut self, node: &Node<'py>) -> PyResult<()> {
        let name = node.text("name")?;
        self.bind(node, &name);
        for keyword in node.children("keywords", self.source.kinds)? {
            let argument = keyword.optional_text("arg")?.unwrap_or_else(|| "**".to_owned());
            // `total` belongs to a TypedDict; other classes refuse it when they are made.
            if argument != "total" {
                let message = format!("a class takes no keyword `{argument}` while a plan is made");
                let hint = "derive from plain classes";
                self.report(&keyword, codes::CLASS_KEYWORD, message, hint);
            }
        }
        Ok(())
    }

    fn keyword(&mut self, node: &Node<'py>) -> PyResult<()> {
        if let Some(name) = node.optional_text("arg")? {
            self.check_name(node, &name);
        }
        Ok(())
    }

    fn match_class(&mut self, node: &Node<'py>) -> PyResult<()> {
        for attr in node.texts("kwd_attrs")? {
            let refusal = match attr.as_str() {
                "format" => Some("`.format` can only be called".to_owned()),
                "__name__" | "__doc__" => Some("a plan does not look into classes".to_owned()),
                other => names::attribute_refusal(other, false),
            };
            if let Some(hint) = refusal {
                let message =
                    format!("the attribute `{attr}` is not available while a plan is made");
                self.report(node, codes::FORBIDDEN_ATTRIBUTE, message, hint);
            }
        }
        Ok(())
    }

    fn comprehension(&mut self, node: &Node<'py>) -> PyResult<()> {
        if node.number("is_async")?.unwrap_or(0) != 0 {
            let place = node.child("iter", self.source.kinds)?.unwrap_or_else(|| node.clone());
            let message = "an asynchronous comprehension is not available while a plan is made";
            self.report(&place, codes::FORBIDDEN_SYNTAX, message, denied_hint("async"));
        }
        Ok(())
    }

    fn report(
        &mut self,
        node: &Node<'py>,
        code: Code,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if self.problems.len() >= MAX_REPORTED {
            return;
        }
        let hint = hint.into();
        let mut problem = Diagnostic::error(code, message).at(node.span(self.source.file));
        if !hint.is_empty() {
            problem = problem.hint(hint);
        }
        self.problems.push(problem);
    }

    fn finish(mut self) -> Checked {
        self.undefined_names();
        self.problems.sort_by_key(|problem| {
            let place = problem.span.as_ref();
            place.map(|span| (span.line, span.column))
        });
        Checked {
            problems: self.problems,
            imports: self.imports,
            functions: self.functions,
            undefined: self.undefined,
        }
    }

    fn undefined_names(&mut self) {
        let loads = std::mem::take(&mut self.loads);
        let mut seen = BTreeSet::new();
        for (name, node) in &loads {
            if self.bound.contains(name) || facade::is_builtin(name) || !seen.insert(name.clone()) {
                continue;
            }
            self.undefined.insert(name.clone());
            if let Some(hint) = names::removed_builtin(name) {
                let message = format!("`{name}` is not available while a plan is made");
                self.report(node, codes::REMOVED_BUILTIN, message, hint);
                continue;
            }
            let hint = if facade::names_of(name).is_some() {
                Some(format!("add `import {name}`"))
            } else if let Some(hint) = names::removed_module(name) {
                Some(hint.to_owned())
            } else {
                let known = self.bound.iter().map(String::as_str);
                names::suggestion(name, known.chain(facade::builtin_names()))
            };
            let message = format!("the name `{name}` is not defined");
            self.report(node, codes::UNDEFINED_NAME, message, hint.unwrap_or_default());
        }
    }
}

fn denied_hint(what: &str) -> &'static str {
    if what.contains("except") {
        "use `except`"
    } else {
        "a plan is made in one go; put waiting into steps"
    }
}
