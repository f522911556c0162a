//! Every form in which Python binds a name goes through one check.

use plue_plan::Diagnostic;
use pyo3::PyResult;

use super::{Node, Walk, codes, node::Kind};

impl<'py> Walk<'_, 'py> {
    /// A parameter, an `except … as`, a capture pattern.
    pub(super) fn binding(&mut self, node: &Node<'py>) -> PyResult<()> {
        let field = if node.kind == Kind::Arg {
            "arg"
        } else if node.kind == Kind::MatchMapping {
            "rest"
        } else {
            "name"
        };
        if let Some(name) = node.optional_text(field)? {
            self.bind(node, &name);
        }
        Ok(())
    }

    /// Checks `global` and `nonlocal`.
    pub(super) fn scope_statement(&mut self, node: &Node<'py>) -> PyResult<()> {
        for name in node.texts("names")? {
            self.bind(node, &name);
        }
        Ok(())
    }

    pub(super) fn bind(&mut self, node: &Node<'py>, name: &str) {
        if name == "super" {
            self.report(
                node,
                codes::FORBIDDEN_NAME,
                "the name `super` cannot be given to something else",
                "choose another name",
            );
        }
        self.check_name(node, name);
        self.bound.insert(name.to_owned());
    }

    pub(super) fn check_name(&mut self, node: &Node<'py>, name: &str) {
        if !name.is_ascii() {
            self.non_ascii(node, name);
        } else if name.starts_with("__") {
            let message = format!("the name `{name}` is reserved by Python");
            let hint = "choose a name that does not start with two underscores";
            self.report(node, codes::FORBIDDEN_NAME, message, hint);
        }
    }

    pub(super) fn non_ascii(&mut self, node: &Node<'py>, name: &str) {
        let message = format!("the name `{name}` holds a character outside ASCII");
        let problem = Diagnostic::error(codes::NON_ASCII_NAME, message)
            .at(node.span(self.source.file))
            .hint("names are written with ASCII letters, digits and `_`");
        self.problems.push(problem);
    }
}
