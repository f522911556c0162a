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
/// Bytes of blocks of each size.
const BLOCKS_BYTES: usize = 24 * 1024;
/// A block this large comes from the end of the heap.
const TOP: usize = 128 * 1024;
/// Sizes of holes, largest first.
const HOLES: &[usize] = &[
    65_536, 16_384, 8_192, 4_096, 2_048, 1_536, 1_040, 1_024, 896, 768, 640, 512, 448, 384, 336,
    304, 272, 240, 208, 176, 160, 144, 128, 112, 96, 80, 64, 48, 32, 24,
];
/// Holes of each size that are filled at most.
const MAX_HOLES: usize = 20_000;
/// One block in so many stays taken, so that its pool is not given back whole.
const KEEP: usize = 16;

/// Fills the holes that start-up left in the C library's heap, so that a child's first allocations
/// come from contiguous fresh memory: each hole lies on a page of its own that the child would have
/// to copy. Costs only memory that was free already. The GIL must be held.
pub(super) fn fill_holes() {
    // SAFETY: malloc_trim has no preconditions; every block is either freed once or kept for ever.
    unsafe {
        libc::malloc_trim(0);
        let top = libc::malloc(TOP) as usize;
        for size in HOLES {
            for _ in 0..MAX_HOLES {
                let block = libc::malloc(*size);
                if block as usize > top || block.is_null() {
                    libc::free(block);
                    break;
                }
            }
        }
    }
}

/// Takes blocks of every small size and frees most of them out of order, so that free lists no
/// longer ascend; another seed gives another order. Costs less than 1 MB once per zygote; more
/// would cost every fork. The GIL must be held.
pub(super) fn shuffle(seed: u32) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(seed);
    for size in (STEP..=LARGEST).step_by(STEP) {
        // SAFETY: the caller holds the GIL and has just run Python code.
        let take = |_| unsafe { ffi::PyObject_Malloc(size) };
        let mut blocks: Vec<*mut c_void> = (0..BLOCKS_BYTES / size).map(take).collect();
        for last in (1..blocks.len()).rev() {
            blocks.swap(last, random(&mut state, last + 1));
        }
        for block in blocks.iter().skip(blocks.len() / KEEP) {
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
