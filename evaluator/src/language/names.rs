//! Allowed names: special methods, attributes, builtins, modules, and the reasons for the forbidden
//! ones.
//!
//! Only lists and lookups. Must not look at a syntax tree or an object.

/// Special methods that a class may define.
pub(crate) const SPECIAL_METHODS: &[&str] = &[
    "__abs__",
    "__add__",
    "__and__",
    "__bool__",
    "__call__",
    "__contains__",
    "__delitem__",
    "__divmod__",
    "__enter__",
    "__eq__",
    "__exit__",
    "__float__",
    "__floordiv__",
    "__format__",
    "__ge__",
    "__getitem__",
    "__gt__",
    "__hash__",
    "__iadd__",
    "__iand__",
    "__index__",
    "__init__",
    "__int__",
    "__invert__",
    "__ior__",
    "__iter__",
    "__le__",
    "__len__",
    "__lshift__",
    "__lt__",
    "__matmul__",
    "__missing__",
    "__mod__",
    "__mul__",
    "__ne__",
    "__neg__",
    "__next__",
    "__or__",
    "__pos__",
    "__post_init__",
    "__pow__",
    "__radd__",
    "__rand__",
    "__repr__",
    "__reversed__",
    "__rmul__",
    "__ror__",
    "__round__",
    "__rshift__",
    "__rsub__",
    "__rtruediv__",
    "__setitem__",
    "__str__",
    "__sub__",
    "__truediv__",
    "__xor__",
];

/// Special methods that may be called through `super()`.
pub(crate) const SUPER_METHODS: &[&str] = &["__init__", "__post_init__", "__repr__", "__str__"];

/// Names with one leading underscore that belong to the public interface of named tuples.
const TUPLE_METHODS: &[&str] = &["_asdict", "_fields", "_make", "_replace"];

/// Attributes that lead from a value to the interpreter.
const INSPECTION: &[&str] =
    &["cell_contents", "format_map", "mro", "obj", "register", "with_traceback"];

/// Prefixes of the attributes of frames, code, generators, coroutines, tracebacks and functions.
const INSPECTION_PREFIXES: &[&str] = &["ag_", "co_", "cr_", "f_", "func_", "gi_", "im_", "tb_"];

/// The attributes behind those prefixes; a name of the user's like `f_score` stays free.
const INSPECTION_TAILS: &[&str] = &[
    "argcount",
    "await",
    "back",
    "builtins",
    "cellvars",
    "class",
    "closure",
    "code",
    "consts",
    "defaults",
    "dict",
    "doc",
    "exceptiontable",
    "filename",
    "firstlineno",
    "flags",
    "frame",
    "freevars",
    "func",
    "globals",
    "kwonlyargcount",
    "lasti",
    "lineno",
    "linetable",
    "lines",
    "lnotab",
    "locals",
    "name",
    "names",
    "next",
    "nlocals",
    "origin",
    "positions",
    "posonlyargcount",
    "qualname",
    "restricted",
    "running",
    "self",
    "stacksize",
    "suspended",
    "trace",
    "trace_lines",
    "trace_opcodes",
    "varnames",
    "yieldfrom",
];

/// Builtins that an evaluation has as they are.
pub(crate) const BUILTINS: &[&str] = &[
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "Ellipsis",
    "Exception",
    "FileNotFoundError",
    "ImportError",
    "IndexError",
    "KeyError",
    "LookupError",
    "ModuleNotFoundError",
    "NameError",
    "NotImplemented",
    "NotImplementedError",
    "OSError",
    "OverflowError",
    "PermissionError",
    "RecursionError",
    "RuntimeError",
    "StopIteration",
    "SyntaxError",
    "TimeoutError",
    "TypeError",
    "UnboundLocalError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UnicodeError",
    "UserWarning",
    "ValueError",
    "Warning",
    "DeprecationWarning",
    "ZeroDivisionError",
    "abs",
    "all",
    "any",
    "ascii",
    "bin",
    "bool",
    "bytes",
    "callable",
    "chr",
    "classmethod",
    "complex",
    "dict",
    "divmod",
    "enumerate",
    "filter",
    "float",
    "frozenset",
    "hex",
    "int",
    "iter",
    "len",
    "list",
    "map",
    "max",
    "min",
    "next",
    "object",
    "oct",
    "ord",
    "pow",
    "property",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "slice",
    "sorted",
    "staticmethod",
    "str",
    "sum",
    "super",
    "tuple",
    "zip",
];

/// Builtins that an evaluation has in a guarded form.
pub(crate) const GUARDED_BUILTINS: &[&str] =
    &["format", "getattr", "hasattr", "hash", "isinstance", "issubclass", "print", "type"];

/// Builtins that are gone, with what to do instead.
const REMOVED_BUILTINS: &[(&str, &str)] = &[
    ("BaseException", "catch or derive from `Exception`"),
    ("BaseExceptionGroup", "derive from `Exception`"),
    ("EncodingWarning", "derive from `Exception`"),
    ("ExceptionGroup", "derive from `Exception`"),
    ("EOFError", "derive from `Exception`"),
    ("GeneratorExit", "use `finally`"),
    ("KeyboardInterrupt", "a plan is not interrupted"),
    ("MemoryError", "a plan over the memory limit ends"),
    ("SystemExit", "raise an `Exception` with a message"),
    ("aiter", "a plan has no asynchronous code"),
    ("anext", "a plan has no asynchronous code"),
    ("breakpoint", "use print(...)"),
    ("bytearray", "use `bytes` or a list"),
    ("compile", "a plan does not make code"),
    ("copyright", "remove it"),
    ("credits", "remove it"),
    ("delattr", "write `del value.name`"),
    ("dir", "name what you need"),
    ("eval", "a plan does not make code; read data with json.loads"),
    ("exec", "a plan does not make code"),
    ("exit", "return a plan or raise an exception"),
    ("globals", "use a dictionary of your own"),
    ("help", "see the documentation"),
    ("id", "an address differs on every machine"),
    ("input", "declare `inputs=` and read ctx.inputs"),
    ("license", "remove it"),
    ("locals", "use a dictionary of your own"),
    ("memoryview", "use `bytes`"),
    ("open", "read files with ctx.read(path), or do it in a step"),
    ("quit", "return a plan or raise an exception"),
    ("setattr", "write `value.name = …`, or use a dictionary"),
    ("vars", "use a dictionary, or dataclasses.asdict"),
];

/// Modules that people expect, with what to do instead.
const REMOVED_MODULES: &[(&str, &str)] = &[
    ("abc", "raise NotImplementedError in the base class"),
    ("asyncio", "a plan has no asynchronous code"),
    ("base64", "encode in a step"),
    ("contextlib", "write a class with __enter__ and __exit__"),
    ("datetime", "a plan is the same at any time: take the time in a step, or use ctx.event"),
    ("decimal", "use int or float"),
    ("glob", "use ctx.glob(pattern)"),
    ("hashlib", "use ctx.event.sha, or hash in a step"),
    ("http", "use Step.call, or do it in a step"),
    ("inspect", "a plan does not look into the interpreter"),
    ("io", "read files with ctx.read(path)"),
    ("logging", "use print(...)"),
    ("os", "the environment and files belong to steps: use env=, ctx.read(path) or a step"),
    ("pathlib", "use strings, ctx.read(path) and ctx.glob(pattern)"),
    ("random", "a plan is the same every time: draw random values in a step"),
    ("requests", "use Step.call, or do it in a step"),
    ("secrets", "use secret(\"NAME\") for secrets; draw random values in a step"),
    ("shutil", "do it in a step"),
    ("socket", "use Step.call, or do it in a step"),
    ("subprocess", "run commands with Step.bash"),
    ("sys", "the interpreter is not part of a plan"),
    ("tempfile", "do it in a step"),
    ("threading", "steps run in parallel by themselves"),
    ("time", "a plan is the same at any time: use timeout=, Step.wait or a step"),
    ("tomllib", "convert to JSON, or parse in a step"),
    ("urllib", "use Step.call, or do it in a step"),
    ("uuid", "a plan is the same every time: make identifiers in a step"),
    ("yaml", "use json.loads(ctx.read(path)), or a .plue.yaml workflow"),
];

/// Reason to refuse an attribute, or `None` if it is allowed.
pub(crate) fn attribute_refusal(name: &str, own: bool) -> Option<String> {
    if name.starts_with("__") {
        if matches!(name, "__name__" | "__doc__") {
            return None;
        }
        if !name.ends_with("__") {
            return Some("use a name with one leading underscore".to_owned());
        }
        return Some(dunder_hint(name).to_owned());
    }
    if is_inspection(name) {
        return Some("a plan does not look into the interpreter; choose another name".to_owned());
    }
    if name.starts_with('_') && !own && !TUPLE_METHODS.contains(&name) {
        return Some("private attributes are read through `self` only".to_owned());
    }
    None
}

fn dunder_hint(name: &str) -> &'static str {
    match name {
        "__class__" => "use type(value)",
        "__dict__" => "use a dictionary, or dataclasses.asdict",
        "__init__" | "__post_init__" | "__repr__" | "__str__" => {
            "call it on super(), as in super().__init__(…)"
        }
        "__members__" => "iterate over the Enum",
        _ => "a plan does not look into the interpreter",
    }
}

/// True if the name is an attribute of frames, code, tracebacks or classes that leads outside.
pub(crate) fn is_inspection(name: &str) -> bool {
    INSPECTION.contains(&name)
        || INSPECTION_PREFIXES
            .iter()
            .filter_map(|prefix| name.strip_prefix(prefix))
            .any(|tail| INSPECTION_TAILS.contains(&tail))
}

/// Alternative for a removed builtin; `None` if there is no builtin of this name.
pub(crate) fn removed_builtin(name: &str) -> Option<&'static str> {
    lookup(REMOVED_BUILTINS, name)
}

/// Alternative for a removed module.
pub(crate) fn removed_module(name: &str) -> Option<&'static str> {
    lookup(REMOVED_MODULES, name.split('.').next().unwrap_or(name))
}

fn lookup(list: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    list.iter().find(|(key, _)| *key == name).map(|(_, hint)| *hint)
}

/// The candidate that is most like `name`, if one is like it.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| {
            let same = candidate.eq_ignore_ascii_case(name);
            let distance = strsim::damerau_levenshtein(name, candidate);
            (if same { 0 } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?` as a hint.
pub(crate) fn suggestion<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    did_you_mean(name, candidates).map(|found| format!("did you mean `{found}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_frames_and_code_are_refused_and_others_of_that_shape_are_not() {
        for name in ["gi_frame", "f_back", "co_code", "tb_next", "mro", "__class__", "__globals__"]
        {
            assert!(attribute_refusal(name, true).is_some(), "{name}");
        }
        for name in ["f_score", "co_author", "name", "__name__", "_replace", "tb_total"] {
            assert!(attribute_refusal(name, false).is_none(), "{name}");
        }
    }

    #[test]
    fn private_attributes_belong_to_self() {
        assert!(attribute_refusal("_steps", true).is_none());
        assert!(attribute_refusal("_steps", false).is_some());
        assert!(attribute_refusal("__steps", true).is_some());
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["depends_on", "timeout", "name"];
        assert_eq!(did_you_mean("depend_on", known), Some("depends_on"));
        assert_eq!(did_you_mean("Timeout", known), Some("timeout"));
        assert_eq!(did_you_mean("zzz", known), None);
    }

    #[test]
    fn no_builtin_is_both_there_and_gone() {
        for name in BUILTINS.iter().chain(GUARDED_BUILTINS) {
            assert!(removed_builtin(name).is_none(), "{name}");
        }
    }
}
