//! A failed allocation ends the child.
//!
//! Otherwise a file could catch `MemoryError` and build another plan where memory is short.
#![expect(unsafe_code, reason = "allocators are unsafe interfaces")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi::{PyMem_GetAllocator, PyMem_SetAllocator, PyMemAllocatorDomain, PyMemAllocatorEx};

use crate::{exit, kernel};

static ARMED: AtomicBool = AtomicBool::new(false);

/// From now on a failed allocation ends the process. For children only.
pub(super) fn arm() {
    ARMED.store(true, Ordering::Relaxed);
}

fn or_end(memory: *mut c_void) -> *mut c_void {
    if memory.is_null() && ARMED.load(Ordering::Relaxed) {
        kernel::exit_now(exit::CHILD_MEMORY);
    }
    memory
}

/// Rust's allocator in the evaluator.
#[derive(Debug)]
pub struct EndOnFailure;

#[global_allocator]
static ALLOCATOR: EndOnFailure = EndOnFailure;

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for EndOnFailure {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        or_end(unsafe { System.alloc(layout) }.cast()).cast()
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        or_end(unsafe { System.alloc_zeroed(layout) }.cast()).cast()
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        or_end(unsafe { System.realloc(memory, layout, size) }.cast()).cast()
    }
}

/// Wraps `CPython`'s allocators. Call it once, after the interpreter is initialised.
pub fn install() {
    use PyMemAllocatorDomain::{PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ, PYMEM_DOMAIN_RAW};
    for domain in [PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ] {
        let mut inner = PyMemAllocatorEx {
            ctx: std::ptr::null_mut(),
            malloc: None,
            calloc: None,
            realloc: None,
            free: None,
        };
        // SAFETY: CPython copies both structures; the inner one is leaked on purpose, since the
        // wrapper points to it for the life of the process. Wrapping after start is documented.
        unsafe {
            PyMem_GetAllocator(domain, &raw mut inner);
            let inner: &'static mut PyMemAllocatorEx = Box::leak(Box::new(inner));
            let mut outer = PyMemAllocatorEx {
                ctx: (&raw mut *inner).cast(),
                malloc: Some(malloc),
                calloc: Some(calloc),
                realloc: Some(realloc),
                free: Some(free),
            };
            PyMem_SetAllocator(domain, &raw mut outer);
        }
    }
}

fn inner(context: *mut c_void) -> PyMemAllocatorEx {
    // SAFETY: `install` set the context to a leaked structure that is never written.
    unsafe { *context.cast_const().cast::<PyMemAllocatorEx>() }
}

extern "C" fn malloc(context: *mut c_void, size: usize) -> *mut c_void {
    let inner = inner(context);
    or_end(inner.malloc.map_or(std::ptr::null_mut(), |malloc| malloc(inner.ctx, size)))
}

extern "C" fn calloc(context: *mut c_void, count: usize, size: usize) -> *mut c_void {
    let inner = inner(context);
    or_end(inner.calloc.map_or(std::ptr::null_mut(), |calloc| calloc(inner.ctx, count, size)))
}

extern "C" fn realloc(context: *mut c_void, memory: *mut c_void, size: usize) -> *mut c_void {
    let inner = inner(context);
    let realloc = |realloc: extern "C" fn(_, _, _) -> _| realloc(inner.ctx, memory, size);
    or_end(inner.realloc.map_or(std::ptr::null_mut(), realloc))
}

extern "C" fn free(context: *mut c_void, memory: *mut c_void) {
    let inner = inner(context);
    if let Some(free) = inner.free {
        free(inner.ctx, memory);
    }
}

/// Allocates more from `CPython` than a child may have; an installed hook ends the process.
pub fn try_too_much() {
    let size = usize::try_from(2 * plue_wire::eval::MAX_MEMORY_BYTES).unwrap_or(usize::MAX);
    // SAFETY: the block is freed at once; PyMem_RawFree takes null.
    unsafe {
        let block = pyo3::ffi::PyMem_RawMalloc(size);
        pyo3::ffi::PyMem_RawFree(block);
    }
}
