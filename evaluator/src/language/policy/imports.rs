//! `import` and `from … import …`: only the closed set of modules and `.plue/lib`.

use pyo3::PyResult;

use super::{Node, Walk, codes};
use crate::language::{facade, names};

impl<'py> Walk<'_, 'py> {
    pub(super) fn import(&mut self, node: &Node<'py>) -> PyResult<()> {
        for alias in node.children("names", self.source.kinds)? {
            let module = alias.text("name")?;
            let bound = match alias.optional_text("asname")? {
                Some(name) => name,
                None => module.split('.').next().unwrap_or(&module).to_owned(),
            };
            self.bind(&alias, &bound);
            self.module(&alias, &module);
        }
        Ok(())
    }

    pub(super) fn import_from(&mut self, node: &Node<'py>) -> PyResult<()> {
        let module = node.optional_text("module")?.unwrap_or_default();
        if node.number("level")?.unwrap_or(0) > 0 {
            self.report(
                node,
                codes::FORBIDDEN_IMPORT,
                "a workflow file is in no package, so a relative import leads nowhere",
                "import modules of .plue/lib by their plain name",
            );
            return Ok(());
        }
        let known = self.module(node, &module);
        for alias in node.children("names", self.source.kinds)? {
            let name = alias.text("name")?;
            // These names are there without an import, so nothing is hidden.
            if name == "*" && module == "plue" {
                continue;
            }
            if name == "*" {
                let message = "`import *` hides where names come from";
                self.report(&alias, codes::FORBIDDEN_IMPORT, message, "name what you import");
                continue;
            }
            let bound = alias.optional_text("asname")?.unwrap_or_else(|| name.clone());
            self.bind(&alias, &bound);
            if bound != name {
                self.check_name(&alias, &name);
            }
            if known {
                self.member(&alias, &module, &name);
            }
        }
        Ok(())
    }

    /// True if the module may be imported.
    fn module(&mut self, node: &Node<'py>, module: &str) -> bool {
        if facade::names_of(module).is_some() {
            return true;
        }
        if self.source.library.contains(module) {
            self.imports.insert(module.to_owned());
            return true;
        }
        let message = format!("the module `{module}` is not available while a plan is made");
        let known = self.source.library.iter().map(String::as_str);
        let hint = names::removed_module(module)
            .map(str::to_owned)
            .or_else(|| names::suggestion(module, known.chain(facade::module_names())));
        let hint = hint.unwrap_or_else(|| {
            format!(
                "available are {} and the modules of .plue/lib",
                facade::module_names().collect::<Vec<_>>().join(", ")
            )
        });
        self.report(node, codes::FORBIDDEN_IMPORT, message, hint);
        false
    }

    fn member(&mut self, node: &Node<'py>, module: &str, name: &str) {
        let Some(members) = facade::names_of(module) else {
            return;
        };
        if members.contains(&name) || facade::names_of(&format!("{module}.{name}")).is_some() {
            return;
        }
        let message =
            format!("`{name}` of the module `{module}` is not available while a plan is made");
        let hint = facade::missing_hint(module, name)
            .or_else(|| names::suggestion(name, members.iter().copied()))
            .unwrap_or_default();
        self.report(node, codes::UNKNOWN_IMPORT, message, hint);
    }
}
