//! Functions that are only the code of `python` steps: they run on the runner and never here, so
//! their bodies are not compiled here and no policy applies to them.
//!
//! A function counts only if its name is bound once, read only as `Step.python(id, NAME)` (or
//! `code=NAME`) or inside its own body, and `Step` and `plue` are what they seem. In a file that is
//! refused otherwise, one counts as well that is only handed around and never called: a matrix of
//! functions, `[Step.python(name, function) for name, function in functions.items()]`.

use std::collections::{BTreeMap, BTreeSet};

use pyo3::PyResult;

use super::node::{Kind, Kinds, Node};

/// The condition on which a function counts as the code of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those that are named as the code of a step.
    Named,
    /// Also those that are never called by their name.
    Uncalled,
}

/// Addresses of the function nodes whose bodies stay out of the evaluation.
#[derive(Debug, Default)]
pub(super) struct StepFunctions(BTreeSet<usize>);

#[derive(Default)]
struct Uses<'py> {
    /// Function definitions by name.
    defined: BTreeMap<String, Vec<Node<'py>>>,
    /// Number of other bindings of a name.
    bound: BTreeMap<String, u32>,
    /// Number of reads of a name.
    read: BTreeMap<String, u32>,
    /// Number of uses of a name as the code of a step.
    code: BTreeMap<String, u32>,
    /// Names that are called.
    called: BTreeSet<String>,
}

/// Names that must mean what they seem for the rule to hold.
const TRUSTED: [&str; 2] = ["Step", "plue"];

// === impl StepFunctions ===

impl StepFunctions {
    pub(super) fn contains(&self, address: usize) -> bool {
        self.0.contains(&address)
    }

    /// Looks for them in a tree.
    pub(super) fn find(root: &Node<'_>, kinds: &Kinds, reach: Reach) -> PyResult<Self> {
        let whole = Uses::collect(root, kinds, &BTreeSet::new())?;
        let mut candidates: BTreeMap<String, usize> = whole
            .defined
            .iter()
            .filter(|(name, nodes)| {
                nodes.len() == 1
                    && match reach {
                        Reach::Named => whole.code.contains_key(*name),
                        Reach::Uncalled => {
                            whole.read.contains_key(*name) && !whole.called.contains(*name)
                        }
                    }
            })
            .filter_map(|(name, nodes)| Some((name.clone(), nodes.first()?.address())))
            .collect();
        // A candidate's own body does not count; each one that falls brings its body back.
        loop {
            let skipped: BTreeSet<usize> = candidates.values().copied().collect();
            let uses = Uses::collect(root, kinds, &skipped)?;
            if TRUSTED.iter().any(|name| uses.bound.contains_key(*name)) {
                return Ok(Self::default());
            }
            let before = candidates.len();
            candidates.retain(|name, _| {
                !uses.bound.contains_key(name)
                    && match reach {
                        Reach::Named => {
                            uses.code.contains_key(name)
                                && uses.read.get(name) == uses.code.get(name)
                        }
                        Reach::Uncalled => {
                            uses.read.contains_key(name) && !uses.called.contains(name)
                        }
                    }
            });
            if candidates.len() == before {
                return Ok(Self(skipped));
            }
        }
    }
}

// === impl Uses ===

impl<'py> Uses<'py> {
    fn collect(root: &Node<'py>, kinds: &Kinds, skipped: &BTreeSet<usize>) -> PyResult<Self> {
        let mut uses = Self::default();
        let mut stack = vec![root.clone()];
        while let Some(node) = stack.pop() {
            uses.visit(&node, kinds)?;
            let skip = skipped.contains(&node.address());
            node.for_each_child(kinds, &mut |field, child| {
                if !(skip && field == "body") {
                    stack.push(child);
                }
            })?;
        }
        Ok(uses)
    }

    fn visit(&mut self, node: &Node<'py>, kinds: &Kinds) -> PyResult<()> {
        let field = match node.kind {
            Kind::FunctionDef => {
                let name = node.text("name")?;
                self.defined.entry(name).or_default().push(node.clone());
                return Ok(());
            }
            Kind::Name => {
                let id = node.text("id")?;
                let counts = if node.is_load(kinds)? { &mut self.read } else { &mut self.bound };
                *counts.entry(id).or_default() += 1;
                return Ok(());
            }
            Kind::Call => return self.call(node, kinds),
            Kind::Import | Kind::ImportFrom => return self.import(node, kinds),
            Kind::Scopes => {
                for name in node.texts("names")? {
                    *self.bound.entry(name).or_default() += 1;
                }
                return Ok(());
            }
            Kind::Arg => "arg",
            Kind::MatchMapping => "rest",
            Kind::ClassDef | Kind::ExceptHandler | Kind::MatchAs | Kind::MatchStar => "name",
            Kind::Attribute
            | Kind::Comprehension
            | Kind::Keyword
            | Kind::Lambda
            | Kind::MatchClass
            | Kind::Plain
            | Kind::Leaf
            | Kind::Denied(_)
            | Kind::Unknown => {
                return Ok(());
            }
        };
        if let Some(name) = node.optional_text(field)? {
            *self.bound.entry(name).or_default() += 1;
        }
        Ok(())
    }

    fn import(&mut self, node: &Node<'py>, kinds: &Kinds) -> PyResult<()> {
        let from_plue = node.optional_text("module")?.as_deref() == Some("plue");
        for alias in node.children("names", kinds)? {
            let name = alias.text("name")?;
            let bound = alias.optional_text("asname")?.unwrap_or_else(|| name.clone());
            let honest = bound == name && (from_plue || name == "plue");
            if !honest {
                *self.bound.entry(bound).or_default() += 1;
            }
        }
        Ok(())
    }

    /// `Step.python(id, NAME, …)` and `plue.Step.python(id, code=NAME, …)`.
    fn call(&mut self, node: &Node<'py>, kinds: &Kinds) -> PyResult<()> {
        let Some(func) = node.child("func", kinds)? else {
            return Ok(());
        };
        if func.kind == Kind::Name {
            self.called.insert(func.text("id")?);
        }
        if func.kind != Kind::Attribute || func.text("attr")? != "python" {
            return Ok(());
        }
        let Some(step) = func.child("value", kinds)? else {
            return Ok(());
        };
        if step.last_name()?.as_deref() != Some("Step") {
            return Ok(());
        }
        if step.kind == Kind::Attribute {
            let module = step.child("value", kinds)?;
            let plue = module.filter(|module| module.kind == Kind::Name);
            if plue.map(|module| module.text("id")).transpose()?.as_deref() != Some("plue") {
                return Ok(());
            }
        }
        let mut codes: Vec<Node<'py>> =
            node.children("args", kinds)?.into_iter().skip(1).take(1).collect();
        for keyword in node.children("keywords", kinds)? {
            if keyword.optional_text("arg")?.as_deref() == Some("code") {
                codes.extend(keyword.child("value", kinds)?);
            }
        }
        for code in codes.iter().filter(|code| code.kind == Kind::Name) {
            *self.code.entry(code.text("id")?).or_default() += 1;
        }
        Ok(())
    }
}
