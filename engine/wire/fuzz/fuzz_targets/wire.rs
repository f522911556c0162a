//! Any bytes as a stream of frames: cutting and decoding end, whatever the pieces; a message that was
//! taken is the same message when it is sent again.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use plue_wire::{
    Splitter, encode,
    eval::{EvalReply, EvalRequest},
    runner::{FromRunner, ToRunner},
};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes of a frame at most. A cap far below what a prefix can announce.
const CAP: usize = 64 * 1024;

/// All messages up to the first fault, and whether there was one.
fn cut<T: DeserializeOwned>(bytes: &[u8], piece: usize) -> (Vec<T>, bool) {
    let mut splitter = Splitter::new(CAP);
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        splitter.buffer().extend_from_slice(piece);
        loop {
            match splitter.next_frame() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}

fn check<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8], piece: usize) {
    let (messages, faulty) = cut::<T>(bytes, bytes.len().max(1));
    let (again, as_faulty) = cut::<T>(bytes, piece);
    // NaN is not equal to itself, so that messages are compared as they are printed.
    assert_eq!(format!("{messages:?}"), format!("{again:?}"), "pieces change messages");
    assert_eq!(faulty, as_faulty, "pieces change faults");
    for message in messages {
        // The shortest spelling of numbers is shorter than what a peer may send, never longer.
        let frame = encode(&message, CAP).expect("what fits fits again");
        let (back, faulty) = cut::<T>(&frame, frame.len());
        assert!(!faulty && back.len() == 1);
        assert_eq!(format!("{message:?}"), format!("{:?}", back[0]));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let piece = usize::from(first >> 2) + 1;
    match first & 3 {
        0 => check::<FromRunner>(rest, piece),
        1 => check::<ToRunner>(rest, piece),
        2 => check::<EvalRequest>(rest, piece),
        _ => check::<EvalReply>(rest, piece),
    }
});
