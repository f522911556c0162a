//! Gives the second interpreter of a pair another heap layout.
//!
//! Address space randomisation moves whole pages only; the order of objects inside `CPython`'s
//! pools would be the same in both interpreters, and with it the order of a set of functions.
#![expect(unsafe_code, reason = "the blocks are taken from CPython's own allocator")]

use std::ffi::c_void;

use pyo3::ffi;

/// `CPython`'s small-object allocator serves sizes up to this, in steps of [`STEP`].
const LARGEST: usize = 512;
const STEP: usize = 16;
/// Blocks of each size.
const BLOCKS: usize = 384;
/// One block in so many stays taken, so that its pool is not given back whole.
const KEEP: usize = 16;

/// Takes blocks of every small size and frees most of them out of order, so that free lists no
/// longer ascend; another seed gives another order. Costs about 3 MB once per zygote. The GIL must be
/// held.
pub(super) fn shuffle(seed: u32) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(seed);
    for size in (STEP..=LARGEST).step_by(STEP) {
        // SAFETY: the GIL is held by the caller, who has just run Python code.
        let take = |_| unsafe { ffi::PyObject_Malloc(size) };
        let mut blocks: Vec<*mut c_void> = (0..BLOCKS).map(take).collect();
        for last in (1..blocks.len()).rev() {
            blocks.swap(last, random(&mut state, last + 1));
        }
        for block in blocks.iter().skip(BLOCKS / KEEP) {
            // SAFETY: each block was taken above and is freed once.
            unsafe { ffi::PyObject_Free(*block) };
        }
    }
}

/// A number below `bound`; any sequence does, it only must not be monotonic.
fn random(state: &mut u64, bound: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).unwrap_or(0) % bound
}
