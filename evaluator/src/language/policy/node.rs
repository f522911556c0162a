//! A node of Python's syntax tree, seen from Rust: its kind by its class's address, its fields from
//! its dictionary.
//!
//! Must not call anything that a file could define.

use std::collections::BTreeMap;

use plue_plan::Span;
use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyList, PyString, PyType},
};

use crate::language::source::SourceFile;

/// Class of a node, as far as the policy depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Arg,
    Attribute,
    Call,
    ClassDef,
    Comprehension,
    ExceptHandler,
    FunctionDef,
    Import,
    ImportFrom,
    Keyword,
    Lambda,
    MatchAs,
    MatchClass,
    MatchMapping,
    MatchStar,
    Name,
    /// `global` and `nonlocal`.
    Scopes,
    /// Nothing to check but its children.
    Plain,
    /// Nothing to check at all: operators and contexts.
    Leaf,
    /// Refused, with what it is.
    Denied(&'static str),
    /// Not a construct of the Python that this policy was written for.
    Unknown,
}

const PLAIN: &[&str] = &[
    "AnnAssign",
    "Assert",
    "Assign",
    "AugAssign",
    "BinOp",
    "BoolOp",
    "Break",
    "Compare",
    "Constant",
    "Continue",
    "Delete",
    "Dict",
    "DictComp",
    "Expr",
    "For",
    "FormattedValue",
    "GeneratorExp",
    "If",
    "IfExp",
    "JoinedStr",
    "List",
    "ListComp",
    "Match",
    "MatchOr",
    "MatchSequence",
    "MatchSingleton",
    "MatchValue",
    "Module",
    "NamedExpr",
    "Pass",
    "Raise",
    "Return",
    "Set",
    "SetComp",
    "Slice",
    "Starred",
    "Subscript",
    "Try",
    "Tuple",
    "UnaryOp",
    "While",
    "With",
    "Yield",
    "YieldFrom",
    "alias",
    "arguments",
    "match_case",
    "withitem",
];

const LEAVES: &[&str] = &[
    "Add", "And", "BitAnd", "BitOr", "BitXor", "Del", "Div", "Eq", "FloorDiv", "Gt", "GtE", "In",
    "Invert", "Is", "IsNot", "LShift", "Load", "Lt", "LtE", "MatMult", "Mod", "Mult", "Not",
    "NotEq", "NotIn", "Or", "Pow", "RShift", "Store", "Sub", "UAdd", "USub",
];

/// The classes of nodes.
pub(crate) struct Kinds {
    by_address: BTreeMap<usize, Kind>,
    load: Py<PyType>,
    name: Py<PyType>,
    call: Py<PyType>,
    expression: Py<PyType>,
}

/// A new statement that calls a guard.
pub(crate) struct Stub<'py> {
    pub(crate) statement: Bound<'py, PyAny>,
    /// Address of the guard's name.
    pub(crate) name_address: usize,
}

/// A line from 1 and a byte offset in it, as Python counts.
pub(crate) type Position = (u32, usize);

/// A node of the syntax tree.
#[derive(Clone)]
pub(crate) struct Node<'py> {
    pub(crate) object: Bound<'py, PyAny>,
    pub(crate) kind: Kind,
    fields: Bound<'py, PyDict>,
}

// === impl Kind ===

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "arg" => Self::Arg,
            "Attribute" => Self::Attribute,
            "Call" => Self::Call,
            "ClassDef" => Self::ClassDef,
            "comprehension" => Self::Comprehension,
            "ExceptHandler" => Self::ExceptHandler,
            // The walk decides about asynchronous functions.
            "FunctionDef" | "AsyncFunctionDef" => Self::FunctionDef,
            "Import" => Self::Import,
            "ImportFrom" => Self::ImportFrom,
            "keyword" => Self::Keyword,
            "Lambda" => Self::Lambda,
            "MatchAs" => Self::MatchAs,
            "MatchClass" => Self::MatchClass,
            "MatchMapping" => Self::MatchMapping,
            "MatchStar" => Self::MatchStar,
            "Name" => Self::Name,
            "Global" | "Nonlocal" => Self::Scopes,
            "AsyncFor" => Self::Denied("`async for`"),
            "AsyncWith" => Self::Denied("`async with`"),
            "Await" => Self::Denied("`await`"),
            "TryStar" => Self::Denied("`except*`"),
            name if PLAIN.contains(&name) => Self::Plain,
            name if LEAVES.contains(&name) => Self::Leaf,
            _ => Self::Unknown,
        }
    }
}

// === impl Kinds ===

impl Kinds {
    /// Reads the classes of the module `_ast`.
    pub(crate) fn load(py: Python<'_>) -> PyResult<Self> {
        let module = py.import("_ast")?;
        let root = module.getattr("AST")?.cast_into::<PyType>()?;
        let mut by_address = BTreeMap::new();
        for (name, value) in module.dict() {
            if let Ok(class) = value.cast::<PyType>()
                && class.is_subclass(&root)?
            {
                by_address.insert(class.as_ptr() as usize, Kind::of(&name.extract::<String>()?));
            }
        }
        let class = |name: &str| -> PyResult<Py<PyType>> {
            Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
        };
        Ok(Self {
            by_address,
            load: class("Load")?,
            name: class("Name")?,
            call: class("Call")?,
            expression: class("Expr")?,
        })
    }

    /// The node behind an object, if it is one.
    pub(crate) fn node<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Option<Node<'py>>> {
        let Some(kind) = self.by_address.get(&(object.get_type_ptr() as usize)) else {
            return Ok(None);
        };
        if *kind == Kind::Leaf {
            return Ok(None);
        }
        let fields = object.getattr(intern!(object.py(), "__dict__"))?;
        Ok(Some(Node {
            object: object.clone(),
            kind: *kind,
            fields: fields.cast_into::<PyDict>()?,
        }))
    }

    /// A new `Name` that is loaded, at the place of another node.
    pub(crate) fn new_name<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        place: &Node<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let context = self.load.bind(py).call0()?;
        let node = self.name.bind(py).call1((id, context))?;
        place.copy_place(&node)?;
        Ok(node)
    }

    /// A new statement that calls a guard without arguments, at the place of another node.
    pub(crate) fn new_call<'py>(
        &self,
        py: Python<'py>,
        guard: &str,
        place: &Node<'py>,
    ) -> PyResult<Stub<'py>> {
        let name = self.new_name(py, guard, place)?;
        let name_address = name.as_ptr() as usize;
        let nothing = || PyList::empty(py);
        let call = self.call.bind(py).call1((name, nothing(), nothing()))?;
        place.copy_place(&call)?;
        let statement = self.expression.bind(py).call1((call,))?;
        place.copy_place(&statement)?;
        Ok(Stub { statement, name_address })
    }
}

// === impl Node ===

impl<'py> Node<'py> {
    pub(crate) fn address(&self) -> usize {
        self.object.as_ptr() as usize
    }

    pub(crate) fn field(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.fields
            .get_item(name)?
            .ok_or_else(|| pyo3::exceptions::PyKeyError::new_err("a node lacks a field"))
    }

    fn get(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.fields.get_item(name)
    }

    /// True for `async def`.
    pub(crate) fn is_async_function(&self) -> PyResult<bool> {
        Ok(self.object.get_type().name()?.to_str()? == "AsyncFunctionDef")
    }

    pub(crate) fn text(&self, name: &str) -> PyResult<String> {
        Ok(self.optional_text(name)?.unwrap_or_default())
    }

    /// A field that holds text or nothing.
    pub(crate) fn optional_text(&self, name: &str) -> PyResult<Option<String>> {
        match self.get(name)? {
            Some(value) if !value.is_none() => value.extract().map(Some),
            _ => Ok(None),
        }
    }

    /// A field that holds a list of texts.
    pub(crate) fn texts(&self, name: &str) -> PyResult<Vec<String>> {
        match self.get(name)? {
            Some(value) => value.extract(),
            None => Ok(Vec::new()),
        }
    }

    /// A field that holds a number or nothing.
    pub(crate) fn number(&self, name: &str) -> PyResult<Option<u32>> {
        match self.get(name)? {
            Some(value) if !value.is_none() => value.extract().map(Some),
            _ => Ok(None),
        }
    }

    /// A field that holds a node.
    pub(crate) fn child(&self, name: &str, kinds: &Kinds) -> PyResult<Option<Self>> {
        match self.get(name)? {
            Some(value) => kinds.node(&value),
            None => Ok(None),
        }
    }

    /// A field that holds a list of nodes.
    pub(crate) fn children(&self, name: &str, kinds: &Kinds) -> PyResult<Vec<Self>> {
        let Some(value) = self.get(name)? else {
            return Ok(Vec::new());
        };
        let Ok(list) = value.cast::<PyList>() else {
            return Ok(Vec::new());
        };
        list.iter().filter_map(|item| kinds.node(&item).transpose()).collect()
    }

    /// Visits every child node with the name of its field, in the order of the fields.
    pub(crate) fn for_each_child(
        &self,
        kinds: &Kinds,
        seen: &mut dyn FnMut(&str, Self),
    ) -> PyResult<()> {
        for (field, value) in self.fields.iter() {
            if let Ok(list) = value.cast_exact::<PyList>() {
                if list.is_empty() {
                    continue;
                }
                let field = field.cast::<PyString>()?;
                for item in list.iter() {
                    if let Some(node) = kinds.node(&item)? {
                        seen(field.to_str()?, node);
                    }
                }
            } else if let Some(node) = kinds.node(&value)? {
                seen(field.cast::<PyString>()?.to_str()?, node);
            }
        }
        Ok(())
    }

    /// True if a name or attribute is read.
    pub(crate) fn is_load(&self, kinds: &Kinds) -> PyResult<bool> {
        let context = self.get("ctx")?;
        Ok(context.is_some_and(|ctx| ctx.get_type().is(kinds.load.bind(ctx.py()))))
    }

    /// True for the name under which methods know their object, and similar ones.
    pub(crate) fn is_own(&self) -> bool {
        self.kind == Kind::Name
            && self.text("id").is_ok_and(|id| matches!(id.as_str(), "self" | "cls" | "other"))
    }

    /// The last part of a name or dotted name.
    pub(crate) fn last_name(&self) -> PyResult<Option<String>> {
        if self.kind == Kind::Name {
            self.optional_text("id")
        } else if self.kind == Kind::Attribute {
            self.optional_text("attr")
        } else {
            Ok(None)
        }
    }

    /// `co_firstlineno` of a function: the line of its first decorator or of its `def`.
    pub(crate) fn first_line(&self, kinds: &Kinds) -> PyResult<u32> {
        let line = self.number("lineno")?.unwrap_or(1);
        let decorators = self.children("decorator_list", kinds)?;
        match decorators.first() {
            Some(first) => Ok(first.number("lineno")?.unwrap_or(line)),
            None => Ok(line),
        }
    }

    /// (line, byte column) of the start and of the end.
    pub(crate) fn place(&self) -> Option<(Position, Option<Position>)> {
        let number = |name: &str| self.number(name).ok().flatten();
        let start = (number("lineno")?, number("col_offset")? as usize);
        let end = number("end_lineno")
            .zip(number("end_col_offset"))
            .map(|(line, column)| (line, column as usize));
        Some((start, end))
    }

    /// The place in its file; the start of the file for nodes without one.
    pub(crate) fn span(&self, file: &SourceFile) -> Span {
        let mut node = self.clone();
        // `arguments`, `withitem` and their like have no place of their own: take a child's.
        while node.place().is_none() {
            let Some(child) = node.fields.values().iter().find_map(|value| {
                let value = match value.cast_exact::<PyList>() {
                    Ok(list) => list.get_item(0).ok()?,
                    Err(_) => value,
                };
                let fields = value.getattr("__dict__").ok()?.cast_into::<PyDict>().ok()?;
                (!fields.is_empty()).then_some(Self { object: value, kind: Kind::Plain, fields })
            }) else {
                return Span::at(&file.path, 1, 1);
            };
            node = child;
        }
        match node.place() {
            Some((start, end)) => file.span(start, end),
            None => Span::at(&file.path, 1, 1),
        }
    }

    fn copy_place(&self, target: &Bound<'py, PyAny>) -> PyResult<()> {
        for name in ["lineno", "col_offset", "end_lineno", "end_col_offset"] {
            if let Some(value) = self.get(name)? {
                target.setattr(name, value)?;
            }
        }
        Ok(())
    }
}
