//! Source locations of calls and exceptions, and texts of objects.
//!
//! The only unsafe code of the language layer. It reads frames, code and tracebacks through the C
//! interface, because the jail's audit hook ends a child that reads them as attributes.
#![expect(unsafe_code, reason = "frames and type slots have no safe interface")]

use std::{collections::BTreeSet, os::raw::c_int, ptr};

use pyo3::{
    ffi,
    prelude::*,
    types::{PyCode, PyList, PyString, PyType},
};

use super::{codes, state};

/// Frames looked through for one of the user's.
const MAX_FRAMES: usize = 2_000;
/// Prefix of the file names for the compiler; never a real path.
const PREFIX: &str = "<plue:";

unsafe extern "C" {
    fn PyCode_Addr2Location(
        code: *mut ffi::PyCodeObject,
        offset: c_int,
        start_line: *mut c_int,
        start_column: *mut c_int,
        end_line: *mut c_int,
        end_column: *mut c_int,
    ) -> c_int;
}

/// A place in one of the evaluation's files; columns are byte offsets, as Python counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceLocation {
    /// Index of the file.
    pub(crate) file: usize,
    /// Name of the function, `<module>` outside.
    pub(crate) function: String,
    /// Line and byte column of the start.
    pub(crate) start: (u32, usize),
    /// Line and byte column of the end, if known.
    pub(crate) end: Option<(u32, usize)>,
}

/// The name under which the compiler knows a file.
pub(crate) fn file_name(index: usize) -> String {
    format!("{PREFIX}{index}>")
}

/// The index behind a name that [`file_name`] made.
pub(crate) fn file_index(name: &str) -> Option<usize> {
    name.strip_prefix(PREFIX)?.strip_suffix('>')?.parse().ok()
}

/// The place of the innermost call in the user's files.
pub(crate) fn call_place(py: Python<'_>) -> Option<SourceLocation> {
    // SAFETY: the interpreter is attached; the frame returned is borrowed and may be null.
    let current = unsafe { ffi::PyEval_GetFrame() };
    if current.is_null() {
        return None;
    }
    // SAFETY: `current` is a live frame; this takes a reference of our own.
    let mut frame = unsafe { Bound::from_borrowed_ptr(py, current.cast()) };
    for _ in 0..MAX_FRAMES {
        let pointer = frame.as_ptr().cast::<ffi::PyFrameObject>();
        // SAFETY: `pointer` is a live frame; the offset belongs to its code.
        let (code, offset) = unsafe {
            let code = ffi::PyFrame_GetCode(pointer).cast::<ffi::PyObject>();
            (Bound::from_owned_ptr(py, code), ffi::PyFrame_GetLasti(pointer))
        };
        if let Some(place) = place_in(&code, offset) {
            return Some(place);
        }
        // SAFETY: `pointer` is a live frame; the result is a new reference or null.
        let back = unsafe { ffi::PyFrame_GetBack(pointer).cast::<ffi::PyObject>() };
        if back.is_null() {
            return None;
        }
        // SAFETY: a new reference, not null.
        frame = unsafe { Bound::from_owned_ptr(py, back) };
    }
    None
}

/// The places of a traceback in the user's files, outermost first.
pub(crate) fn traceback_places(traceback: &Bound<'_, PyAny>) -> Vec<SourceLocation> {
    let py = traceback.py();
    let mut places = Vec::new();
    let mut next = traceback.as_ptr().cast::<ffi::PyTracebackObject>();
    for _ in 0..MAX_FRAMES {
        if next.is_null() {
            break;
        }
        // SAFETY: `next` is a live traceback, kept alive by the one before it; its frame is live.
        let (code, offset, following) = unsafe {
            let code = ffi::PyFrame_GetCode((*next).tb_frame).cast::<ffi::PyObject>();
            (Bound::from_owned_ptr(py, code), (*next).tb_lasti, (*next).tb_next)
        };
        places.extend(place_in(&code, offset));
        next = following;
    }
    places
}

/// The first line and the name of a Python function, with the index of its file.
pub(crate) fn function_origin(function: &Bound<'_, PyAny>) -> Option<(usize, u32, String)> {
    let code = function_code(function)?;
    let file = file_index(&text(&code, "co_filename")?)?;
    let line = code.getattr("co_firstlineno").ok()?.extract().ok()?;
    Some((file, line, text(&code, "co_name")?))
}

/// Number of parameters of a Python function: required and optional positional ones, and true if it
/// has others.
pub(crate) fn parameters(function: &Bound<'_, PyAny>) -> Option<(usize, bool)> {
    let code = function_code(function)?;
    let number = |name: &str| code.getattr(name).ok()?.extract::<usize>().ok();
    const VARIADIC: usize = 0x04 | 0x08;
    let others = number("co_kwonlyargcount")? > 0 || number("co_flags")? & VARIADIC != 0;
    Some((number("co_argcount")?, others))
}

fn function_code<'py>(function: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the type is checked before the code is read; the code is borrowed from the function.
    unsafe {
        if ffi::PyFunction_Check(function.as_ptr()) == 0 {
            return None;
        }
        let code = ffi::PyFunction_GetCode(function.as_ptr());
        Bound::from_borrowed_ptr_or_opt(function.py(), code)
    }
}

fn place_in(code: &Bound<'_, PyAny>, offset: c_int) -> Option<SourceLocation> {
    let file = file_index(&text(code, "co_filename")?)?;
    let function = text(code, "co_name")?;
    let code = code.cast::<PyCode>().ok()?;
    let (mut line, mut column, mut end_line, mut end_column) = (0, 0, 0, 0);
    // SAFETY: `code` is a live code object and the four pointers are to our own variables.
    let found = unsafe {
        PyCode_Addr2Location(
            code.as_ptr().cast(),
            offset,
            ptr::from_mut(&mut line),
            ptr::from_mut(&mut column),
            ptr::from_mut(&mut end_line),
            ptr::from_mut(&mut end_column),
        )
    };
    if found == 0 || line < 1 {
        return None;
    }
    let end = u32::try_from(end_line).ok().zip(usize::try_from(end_column).ok());
    Some(SourceLocation {
        file,
        function,
        start: (u32::try_from(line).ok()?, usize::try_from(column).unwrap_or(0)),
        end: end.filter(|_| column >= 0),
    })
}

fn text(object: &Bound<'_, PyAny>, name: &str) -> Option<String> {
    let value = object.getattr(name).ok()?;
    Some(value.cast::<PyString>().ok()?.to_str().ok()?.to_owned())
}

/// Replaces the text of everything whose text holds an address by an error.
///
/// Types inherit the slot when they are made, so every type made later has it too.
pub(crate) fn hide_addresses(py: Python<'_>, extra: &[Bound<'_, PyType>]) -> PyResult<()> {
    let object = py.get_type::<PyAny>();
    // SAFETY: `object` is a live type.
    let default = unsafe { (*object.as_type_ptr()).tp_repr };
    let mut seen = BTreeSet::new();
    let mut stack = vec![object];
    while let Some(class) = stack.pop() {
        if !seen.insert(class.as_ptr() as usize) {
            continue;
        }
        // SAFETY: a live type; the interpreter is attached, so the slot has no concurrent
        // reader.
        unsafe {
            let slot = &raw mut (*class.as_type_ptr()).tp_repr;
            if same(*slot, default) {
                *slot = Some(no_text);
            }
        }
        // `type.__subclasses__` needs the class as its argument.
        let below = py.get_type::<PyType>().call_method1("__subclasses__", (&class,))?;
        for subclass in below.cast_into::<PyList>()?.iter() {
            stack.push(subclass.cast_into::<PyType>()?);
        }
    }
    for class in extra {
        // SAFETY: as above.
        unsafe { (*class.as_type_ptr()).tp_repr = Some(no_text) };
    }
    Ok(())
}

/// True if the type's objects have no text of their own.
pub(crate) fn has_no_text(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: a live type.
    let slot = unsafe { (*class.as_type_ptr()).tp_repr };
    same(slot, Some(no_text))
}

fn same(one: Option<ffi::reprfunc>, other: Option<ffi::reprfunc>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => ptr::fn_addr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

unsafe extern "C" fn no_text(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls slots attached, with a live object.
    unsafe {
        let py = Python::assume_attached();
        let object = Bound::from_borrowed_ptr(py, object);
        let class =
            object.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
        let message = format!("a {class} has no text that is the same on every machine");
        let hint =
            "name the value you want: a function's __name__, an attribute, a list of its items";
        state::problem(state::Raise::Type, codes::NO_TEXT_FORM, message, Some(hint.to_owned()))
            .restore(py);
    }
    ptr::null_mut()
}
