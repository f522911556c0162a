//! Functions as the code of a `python` step: their source text travels, nothing else does.

use std::collections::BTreeSet;

use pyo3::{
    prelude::*,
    types::{PyDict, PyList, PyString},
};

use crate::language::{
    codes, frames,
    policy::Node,
    prepared::{self, Prepared},
    source::SourceFile,
    state::{self, Raise, problem},
};

/// A function that travels.
pub(super) struct Extracted {
    pub(super) code: String,
    pub(super) name: String,
}

/// Takes the source of a function out of the text that was checked.
pub(super) fn extract(function: &Bound<'_, PyAny>, step: &str) -> PyResult<Extracted> {
    let py = function.py();
    let refuse = |what: String, hint: &str| {
        let message = format!("the code of {step} {what}");
        problem(Raise::Value, codes::STEP_FUNCTION, message, Some(hint.to_owned()))
    };
    let found = frames::function_origin(function).and_then(|(file, line, name)| {
        state::with(|state| {
            let found = state
                .functions
                .iter()
                .find(|f| f.file == file && f.first_line == line && f.name == name)?;
            let source = state.files.get(file)?.clone();
            Some((source, found.node.clone_ref(py), found.body.clone_ref(py), name))
        })
    });
    let Some((file, node, body, name)) = found else {
        return Err(refuse(
            "is no function of this file".to_owned(),
            "define it with `def`; a lambda or a function of the standard library cannot travel",
        ));
    };
    let prepared = prepared::get(py)?;
    let Some(node) = prepared.kinds.node(node.bind(py))? else {
        return Err(refuse("is no function of this file".to_owned(), "define it with `def`"));
    };
    if !node.children("decorator_list", &prepared.kinds)?.is_empty() {
        return Err(refuse(
            format!("is `{name}`, which has a decorator"),
            "decorators do not travel; give the step a plain function",
        ));
    }
    let Some((start, Some(end))) = node.place() else {
        return Err(refuse("has no source".to_owned(), "define it with `def`"));
    };
    let strings = string_lines(prepared, body.bind(py))?;
    let code = dedent(&file, start, end, &strings);
    let free = free_names(py, prepared, &code, &name)?;
    if !free.is_empty() {
        let list: Vec<String> = free.iter().map(|name| format!("`{name}`")).collect();
        return Err(refuse(
            format!("is `{name}`, which reads {} from outside itself", list.join(", ")),
            "only the function's own text travels: import modules inside it, pass values with args=",
        ));
    }
    Ok(Extracted { code, name })
}

/// Lines that begin inside a string: their indentation is content.
fn string_lines(prepared: &Prepared, body: &Bound<'_, PyAny>) -> PyResult<BTreeSet<u32>> {
    let mut lines = BTreeSet::new();
    let mut stack: Vec<Node<'_>> = Vec::new();
    for item in body.cast::<PyList>()?.iter() {
        stack.extend(prepared.kinds.node(&item)?);
    }
    while let Some(node) = stack.pop() {
        let name = node.object.get_type().name()?;
        if matches!(name.to_str()?, "Constant" | "JoinedStr")
            && let Some((start, Some(end))) = node.place()
        {
            lines.extend(start.0 + 1..=end.0);
        }
        node.for_each_child(&prepared.kinds, &mut |_, child| stack.push(child))?;
    }
    Ok(lines)
}

/// The text between two places, moved to the left margin.
fn dedent(
    file: &SourceFile,
    start: (u32, usize),
    end: (u32, usize),
    strings: &BTreeSet<u32>,
) -> String {
    let mut code = String::new();
    for number in start.0..=end.0 {
        let mut line = file.line(number);
        if number == end.0 {
            line = &line[..end.1.min(line.len())];
        }
        if number == start.0 {
            line = &line[start.1.min(line.len())..];
        } else if !strings.contains(&number) {
            let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
            line = &line[indent.min(start.1)..];
        }
        code.push_str(line);
        code.push('\n');
    }
    code
}

/// Names that the function reads and that are neither its own nor Python's.
fn free_names(
    py: Python<'_>,
    prepared: &Prepared,
    code: &str,
    own: &str,
) -> PyResult<BTreeSet<String>> {
    let top = prepared.functions.symtable.bind(py).call1((code, "<step>", "exec"))?;
    let mut free = BTreeSet::new();
    let mut set_inside = BTreeSet::new();
    let mut stack = vec![top];
    while let Some(block) = stack.pop() {
        let symbols = block.getattr("symbols")?;
        for (name, flags) in symbols.cast::<PyDict>()? {
            let flags: u64 = flags.extract()?;
            let name = name.cast::<PyString>()?.to_str()?.to_owned();
            let scope = (flags >> prepared.scope_offset) & 0xf;
            // GLOBAL_EXPLICIT and GLOBAL_IMPLICIT
            if scope == 2 && flags & 2 != 0 {
                set_inside.insert(name);
            } else if scope == 2 || scope == 3 {
                free.insert(name);
            }
        }
        for child in block.getattr("children")?.cast::<PyList>()?.iter() {
            stack.push(child);
        }
    }
    free.retain(|name| {
        name != own
            && !set_inside.contains(name)
            && !name.starts_with("__")
            && !prepared.runner_builtins.contains(name)
    });
    Ok(free)
}
