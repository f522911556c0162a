//! Starts `CPython` isolated and closes it to the file system.
//!
//! `Python::initialize` of pyo3 is not isolated, hence the raw interface. Must not run any
//! workflow file.
#![expect(unsafe_code, reason = "CPython's start-up and fork interfaces exist in C only")]

#[cfg(feature = "static-python")]
mod frozen;
mod heap;

use std::ffi::CStr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::jail::{allocator, audit};
use crate::kernel::{self, Fork};
use crate::options::HashSeed;

/// The version of the interpreter this was built for.
pub const VERSION: &str = env!("PLUE_PYTHON_VERSION");

/// Link mode of the interpreter.
pub const LINKED: &str = if cfg!(feature = "static-python") { "static" } else { "shared" };

/// The program that answered for the interpreter when this was built.
pub const MADE_WITH: &str = env!("PLUE_PYTHON_EXECUTABLE");

/// Folders of the standard library; empty when it is linked in.
const LIBRARY: &[&str] = if cfg!(feature = "static-python") {
    &[]
} else {
    &[env!("PLUE_PYTHON_STDLIB"), env!("PLUE_PYTHON_DYNLOAD")]
};

/// Clocks of the module `time`. The jail disables the clock anyhow; this turns the likely attempts
/// into ordinary errors.
const CLOCKS: [&str; 17] = [
    "clock_getres",
    "clock_gettime",
    "clock_gettime_ns",
    "ctime",
    "get_clock_info",
    "gmtime",
    "localtime",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
    "process_time_ns",
    "thread_time",
    "thread_time_ns",
    "time",
    "time_ns",
];

/// An interpreter that does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Error of `CPython`'s start.
    #[error("CPython does not start: {0}")]
    Start(String),
    /// Built against one Python, loaded another.
    #[error("built for Python {VERSION}, but the library is {0}")]
    Version(String),
    /// The audit hook is refused.
    #[error("{0}")]
    Audit(&'static str),
    /// Python code of the preparation failed.
    #[error("the interpreter cannot be prepared")]
    Python(#[from] PyErr),
}

/// Starts `CPython`: no site, no environment, no user directory, no signal handlers, UTF-8.
///
/// # Errors
/// [`Error`]
pub fn start(seed: HashSeed) -> Result<(), Error> {
    audit::install().map_err(Error::Audit)?;
    #[cfg(feature = "static-python")]
    frozen::install();
    // SAFETY: called once, on the only thread, before any other use of CPython; every structure
    // is initialised by CPython's own function before it is read.
    unsafe {
        let mut preconfig: ffi::PyPreConfig = std::mem::zeroed();
        ffi::PyPreConfig_InitIsolatedConfig(&raw mut preconfig);
        preconfig.utf8_mode = 1;
        check(ffi::Py_PreInitialize(&raw const preconfig))?;
        let mut config: ffi::PyConfig = std::mem::zeroed();
        ffi::PyConfig_InitIsolatedConfig(&raw mut config);
        let result = configure(&mut config, seed)
            .and_then(|()| check(ffi::Py_InitializeFromConfig(&raw const config)));
        ffi::PyConfig_Clear(&raw mut config);
        result?;
    }
    allocator::install();
    Python::attach(|_py| {
        let found = Python::version_str();
        let number = found.split(' ').next().unwrap_or(found);
        if number == VERSION { Ok(()) } else { Err(Error::Version(number.to_owned())) }
    })
}

unsafe fn configure(config: &mut ffi::PyConfig, seed: HashSeed) -> Result<(), Error> {
    config.site_import = 0;
    config.user_site_directory = 0;
    config.use_environment = 0;
    config.install_signal_handlers = 0;
    config.write_bytecode = 0;
    config.pathconfig_warnings = 0;
    config.parse_argv = 0;
    config.faulthandler = 0;
    config.configure_c_stdio = 0;
    config.use_hash_seed = 1;
    config.hash_seed = seed.number().into();
    config.module_search_paths_set = 1;
    for path in LIBRARY {
        let wide = wide(path);
        // SAFETY: the string ends with NUL; CPython copies it.
        check(unsafe {
            ffi::PyWideStringList_Append(&raw mut config.module_search_paths, wide.as_ptr())
        })?;
    }
    for slot in
        [&raw mut config.program_name, &raw mut config.executable, &raw mut config.base_executable]
    {
        let wide = wide("/plue-evaluator");
        // SAFETY: as above; the slot belongs to this config.
        check(unsafe { ffi::PyConfig_SetString(config, slot, wide.as_ptr()) })?;
    }
    for slot in [
        &raw mut config.prefix,
        &raw mut config.base_prefix,
        &raw mut config.exec_prefix,
        &raw mut config.base_exec_prefix,
    ] {
        let wide = wide("/");
        // SAFETY: as above.
        check(unsafe { ffi::PyConfig_SetString(config, slot, wide.as_ptr()) })?;
    }
    Ok(())
}

fn wide(text: &str) -> Vec<libc::wchar_t> {
    let code = |character| libc::wchar_t::try_from(u32::from(character)).unwrap_or(0);
    text.chars().map(code).chain(std::iter::once(0)).collect()
}

fn check(status: ffi::PyStatus) -> Result<(), Error> {
    // SAFETY: the status is a plain value that CPython just returned.
    if unsafe { ffi::PyStatus_Exception(status) } == 0 {
        return Ok(());
    }
    if status.err_msg.is_null() {
        return Err(Error::Start("no reason given".to_owned()));
    }
    // SAFETY: CPython's messages are static NUL-terminated strings.
    let message = unsafe { CStr::from_ptr(status.err_msg) };
    Err(Error::Start(message.to_string_lossy().into_owned()))
}

/// Closes the interpreter to the file system and freezes what is loaded.
///
/// Everything that an evaluation may import must be loaded by now.
///
/// # Errors
/// When the interpreter's own modules are not as expected.
pub fn lock(py: Python<'_>, seed: HashSeed) -> Result<(), Error> {
    let sys = py.import("sys")?;
    for stream in ["stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__"] {
        sys.setattr(stream, py.None())?;
    }
    let warnings = py.import("warnings")?;
    warnings.call_method1("simplefilter", ("ignore",))?;
    let time = py.import("time")?;
    for clock in CLOCKS {
        // The standard library has bound the clocks that it needs by now.
        if time.hasattr(clock)? {
            time.delattr(clock)?;
        }
    }
    let frozen = py.import("_frozen_importlib")?;
    let finders = [frozen.getattr("BuiltinImporter")?, frozen.getattr("FrozenImporter")?];
    sys.setattr("meta_path", PyList::new(py, finders)?)?;
    sys.setattr("path", PyList::empty(py))?;
    sys.setattr("path_hooks", PyList::empty(py))?;
    sys.getattr("path_importer_cache")?.call_method0("clear")?;
    let gc = py.import("gc")?;
    gc.call_method0("collect")?;
    heap::fill_holes();
    if seed != HashSeed::A {
        heap::shuffle(seed.number());
    }
    // Rust's hash maps take their keys from the kernel once per thread; a child could not ask.
    drop(std::hash::RandomState::new());
    gc.call_method0("freeze")?;
    Ok(())
}

/// Forks the interpreter.
///
/// Without `PyOS_BeforeFork` and `PyOS_AfterFork_Child`: they are for processes with several
/// threads. Here the thread that forks is the only one, it holds the GIL and no other lock of
/// `CPython`'s, and it continues in the child under the same identity; the two would only touch,
/// and so copy, two dozen pages of the child.
///
/// # Errors
/// Errors of fork(2).
pub fn fork(_py: Python<'_>) -> std::io::Result<Fork> {
    kernel::fork()
}
