//! `CPython`'s built-in and frozen modules, for the build that carries its Python inside.
//!
//! The table of built-in modules stands in for the one of libpython, which would link sockets,
//! subprocesses, zlib and expat. Must not name a module that an evaluation does not need.
#![expect(unsafe_code, reason = "CPython takes both tables as C arrays")]

use std::ffi::{CStr, c_int};
use std::ptr;

use pyo3::ffi::{_frozen, _inittab, PyImport_FrozenModules, PyObject};

/// Name, code, and whether it is a package; written by freeze.py.
const FROZEN: &[(&CStr, &[u8], bool)] = include!(concat!(env!("OUT_DIR"), "/frozen.rs"));

macro_rules! built_in {
    ($($function:ident = $name:literal,)*) => {
        unsafe extern "C" {
            $(fn $function() -> *mut PyObject;)*
        }

        /// The built-in modules, in the place where libpython looks for its own table.
        #[unsafe(no_mangle)]
        pub(super) static mut _PyImport_Inittab: [_inittab; [$($name),*].len() + 3] = [
            $(_inittab { name: $name.as_ptr(), initfunc: Some($function) },)*
            // Made by the interpreter itself; listed for `sys.builtin_module_names`.
            _inittab { name: c"builtins".as_ptr(), initfunc: None },
            _inittab { name: c"sys".as_ptr(), initfunc: None },
            _inittab { name: ptr::null(), initfunc: None },
        ];
    };
}

built_in! {
    PyInit__abc = c"_abc",
    PyInit__ast = c"_ast",
    PyInit__codecs = c"_codecs",
    PyInit__collections = c"_collections",
    PyInit__functools = c"_functools",
    PyInit__heapq = c"_heapq",
    PyInit__imp = c"_imp",
    PyInit__io = c"_io",
    PyInit__locale = c"_locale",
    PyInit__operator = c"_operator",
    PyInit__signal = c"_signal",
    PyInit__sre = c"_sre",
    PyInit__stat = c"_stat",
    PyInit__string = c"_string",
    PyInit__symtable = c"_symtable",
    PyInit__thread = c"_thread",
    PyInit__tokenize = c"_tokenize",
    _PyWarnings_Init = c"_warnings",
    PyInit__weakref = c"_weakref",
    PyInit_atexit = c"atexit",
    PyInit_errno = c"errno",
    PyInit_gc = c"gc",
    PyInit_itertools = c"itertools",
    PyMarshal_Init = c"marshal",
    PyInit_math = c"math",
    PyInit_posix = c"posix",
    PyInit_time = c"time",
    PyInit_unicodedata = c"unicodedata",
}

/// Hands both tables to `CPython`. Once, before it starts.
pub(super) fn install() {
    let entry = |(name, code, package): &(&'static CStr, &'static [u8], bool)| _frozen {
        name: name.as_ptr(),
        code: code.as_ptr(),
        size: c_int::try_from(code.len()).unwrap_or(0),
        is_package: c_int::from(*package),
        get_code: None,
    };
    let end =
        _frozen { name: ptr::null(), code: ptr::null(), size: 0, is_package: 0, get_code: None };
    let table: Vec<_frozen> = FROZEN.iter().map(entry).chain([end]).collect();
    // SAFETY: CPython is not started, so the pointers have no reader yet; both tables live for
    // ever and end with an empty entry.
    unsafe {
        PyImport_FrozenModules = table.leak().as_ptr();
        pyo3::ffi::PyImport_Inittab = (&raw mut _PyImport_Inittab).cast();
    }
}
