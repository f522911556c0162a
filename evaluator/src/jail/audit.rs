//! The tripwire inside `CPython`: an audit hook that ends the child at the first event that a
//! workflow file never causes by itself.
//!
//! A tripwire, not a boundary: `CPython` raises no event for many actions of an attacker. Each
//! detection is reported by name, and is worth an alert.
#![expect(unsafe_code, reason = "CPython's audit interface exists in C only")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;

use super::syscalls::REPORT_DESCRIPTOR;
use crate::report::AUDIT;
use crate::{exit, kernel};

unsafe extern "C" {
    fn PySys_AddAuditHook(hook: Hook, data: *mut c_void) -> c_int;
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

type Hook = unsafe extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int;

static ARMED: AtomicBool = AtomicBool::new(false);
/// Events that ordinary files cause.
const HARMLESS: [&CStr; 4] = [c"compile", c"import", c"sys._getframe", c"builtins.id"];
/// Audited attributes that the standard library reads while it builds classes and functions.
const ATTRIBUTES: [&CStr; 9] = [
    c"__code__",
    c"__defaults__",
    c"__kwdefaults__",
    c"__module__",
    c"__doc__",
    c"__qualname__",
    c"__name__",
    c"__abstractmethods__",
    c"__bases__",
];
/// Bytes of an event's name that are reported.
const NAME_BYTES: usize = 120;

/// Adds the hook, not yet armed. Call it before the interpreter is initialised.
///
/// # Errors
/// When `CPython` does not take it.
pub fn install() -> Result<(), &'static str> {
    // SAFETY: allowed before initialisation; the hook lives as long as the process.
    let result = unsafe { PySys_AddAuditHook(hook, ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err("CPython refuses the audit hook") }
}

/// From now on the hook ends the process. For children only.
pub fn arm() {
    ARMED.store(true, Ordering::Relaxed);
}

/// Raises an event that no file causes; an armed hook ends the process.
pub fn try_forbidden_event() {
    // SAFETY: an event without arguments; the interpreter is initialised.
    unsafe {
        PySys_Audit(c"plue.probe".as_ptr(), ptr::null());
    }
}

unsafe extern "C" fn hook(
    event: *const c_char,
    arguments: *mut ffi::PyObject,
    _data: *mut c_void,
) -> c_int {
    if !ARMED.load(Ordering::Relaxed) {
        return 0;
    }
    // SAFETY: CPython passes a NUL-terminated name and a tuple, and holds the GIL.
    unsafe {
        let name = CStr::from_ptr(event);
        if HARMLESS.contains(&name) {
            return 0;
        }
        if name == c"object.__getattr__"
            && ATTRIBUTES.iter().any(|known| is_text(arguments, 1, known))
        {
            return 0;
        }
        if name == c"open" && is_error_quotation(arguments) {
            ffi::PyErr_SetNone(ffi::PyExc_OSError);
            return -1;
        }
        deny(name, arguments)
    }
}

unsafe fn is_text(arguments: *mut ffi::PyObject, index: isize, expected: &CStr) -> bool {
    // SAFETY: CPython passes a tuple; items are borrowed; the type is checked before use.
    unsafe {
        if index >= ffi::PyTuple_Size(arguments) {
            return false;
        }
        let item = ffi::PyTuple_GetItem(arguments, index);
        ffi::PyUnicode_Check(item) != 0
            && ffi::PyUnicode_CompareWithASCIIString(item, expected.as_ptr()) == 0
    }
}

/// `CPython` opens a file's name to quote the line of a syntax error. The hook answers with an
/// error, which `CPython` ignores; the arguments identify the case (a mode, but flags of 0).
unsafe fn is_error_quotation(arguments: *mut ffi::PyObject) -> bool {
    // SAFETY: as in `is_text`.
    unsafe {
        if !(is_text(arguments, 1, c"r") || is_text(arguments, 1, c"rb")) {
            return false;
        }
        let flags = ffi::PyTuple_GetItem(arguments, 2);
        !flags.is_null() && ffi::PyLong_Check(flags) != 0 && ffi::PyLong_AsLong(flags) == 0
    }
}

/// Writes the event's name into the report and ends the child.
unsafe fn deny(name: &CStr, arguments: *mut ffi::PyObject) -> ! {
    let mut text = [0_u8; NAME_BYTES + 1];
    text[0] = AUDIT;
    let mut length = 1;
    let mut push = |bytes: &[u8]| {
        for byte in bytes.iter().filter(|byte| byte.is_ascii_graphic()) {
            if length < text.len() {
                text[length] = *byte;
                length += 1;
            }
        }
    };
    push(name.to_bytes());
    // SAFETY: as in `is_text`; the UTF-8 form lives as long as the item.
    unsafe {
        if name == c"object.__getattr__" && ffi::PyTuple_Size(arguments) > 1 {
            let item = ffi::PyTuple_GetItem(arguments, 1);
            let utf8 = if ffi::PyUnicode_Check(item) == 0 {
                ptr::null()
            } else {
                ffi::PyUnicode_AsUTF8(item)
            };
            if !utf8.is_null() {
                push(b":");
                push(CStr::from_ptr(utf8).to_bytes());
            }
        }
    }
    drop(kernel::write_all(REPORT_DESCRIPTOR, text.get(..length).unwrap_or_default()));
    kernel::exit_now(exit::CHILD_DENIED)
}
