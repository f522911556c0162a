//! Frames survive any cut of the stream, and no byte of a hostile peer makes the decoder panic or
//! allocate for announced lengths.

use plue_plan::{AttemptId, RunnerId};
use plue_wire::{
    FrameError, Splitter, encode,
    eval::Bytes,
    runner::{
        AttemptEvent, Claim, EventKind, Fence, FromRunner, Hello, MAX_FRAME_BYTES, ToRunner,
        Verdict,
    },
};
use proptest::prelude::*;

fn event(seq: u64, data: Vec<u8>) -> FromRunner {
    FromRunner::Event(AttemptEvent {
        claim: Claim { attempt: AttemptId::new("a"), fence: Fence(7) },
        seq,
        at_us: -1,
        kind: EventKind::Stdout(Bytes(data)),
    })
}

proptest! {
    #[test]
    fn frames_survive_every_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        pieces in prop::collection::vec(1usize..64, 1..8),
    ) {
        let sent: Vec<_> = (1..).zip(payloads).map(|(seq, data)| event(seq, data)).collect();
        let mut stream = Vec::new();
        for message in &sent {
            stream.extend(encode(message, MAX_FRAME_BYTES).unwrap());
        }
        let mut splitter = Splitter::new(MAX_FRAME_BYTES);
        let mut received = Vec::new();
        let mut rest = stream.as_slice();
        for size in pieces.iter().cycle() {
            let (piece, later) = rest.split_at((*size).min(rest.len()));
            splitter.buffer().extend_from_slice(piece);
            while let Some(message) = splitter.next_frame::<FromRunner>().unwrap() {
                received.push(message);
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(received, sent);
        prop_assert!(!splitter.is_mid_frame());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut splitter = Splitter::new(1024);
        splitter.buffer().extend_from_slice(&bytes);
        while let Ok(Some(_)) = splitter.next_frame::<ToRunner>() {}
        let mut splitter = Splitter::new(1024);
        splitter.buffer().extend_from_slice(&bytes);
        while let Ok(Some(_)) = splitter.next_frame::<FromRunner>() {}
    }

    #[test]
    fn a_damaged_message_never_panics(at in 0usize..60, with in any::<u8>()) {
        let hello = FromRunner::Hello(Hello {
            protocol: 1,
            runner: RunnerId::new("r"),
            boot: "b".to_owned(),
            token: "t".to_owned(),
            facts: vec![("os".to_owned(), "linux".to_owned())],
            resume: Vec::new(),
        });
        let mut frame = encode(&hello, 1024).unwrap();
        let at = at % frame.len();
        frame[at] = with;
        let mut splitter = Splitter::new(1024);
        splitter.buffer().extend_from_slice(&frame);
        while let Ok(Some(_)) = splitter.next_frame::<FromRunner>() {}
    }
}

#[test]
fn prefixes_over_the_cap_are_refused_at_once() {
    let mut splitter = Splitter::new(1024);
    splitter.buffer().extend_from_slice(&u32::MAX.to_le_bytes());
    let refused = splitter.next_frame::<ToRunner>();
    assert!(matches!(refused, Err(FrameError::TooLong { cap: 1024, .. })));
    assert!(splitter.buffer().capacity() < 1024);
}

#[test]
fn a_message_over_the_cap_is_not_sent() {
    let refused = encode(&event(1, vec![0; 2048]), 1024);
    assert!(matches!(refused, Err(FrameError::TooLong { cap: 1024, .. })));
}

#[test]
fn bytes_after_a_message_are_refused() {
    let mut frame = encode(&ToRunner::Heartbeat, 64).unwrap();
    frame.push(0);
    frame[0] += 1;
    let mut splitter = Splitter::new(64);
    splitter.buffer().extend_from_slice(&frame);
    let refused = splitter.next_frame::<ToRunner>();
    assert!(matches!(refused, Err(FrameError::Trailing(1))));
}

#[test]
fn announced_but_missing_collections_are_refused() {
    // `Ack` with an attempt id that claims 2^60 bytes: the decoder must fail, not allocate.
    let mut body = vec![2];
    body.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let refused = plue_wire::decode::<ToRunner>(&body);
    assert!(matches!(refused, Err(FrameError::Malformed(_))));
}

#[test]
fn the_numbers_of_the_variants_are_fixed() {
    // Variants are appended, never reordered: an old peer reads these bytes.
    let claim = Claim { attempt: AttemptId::new("a"), fence: Fence(7) };
    let frame = encode(&ToRunner::Ack(claim.clone(), 3), 64).unwrap();
    assert_eq!(frame, [5, 0, 0, 0, 2, 1, b'a', 7, 3]);
    let frame = encode(&FromRunner::Accept(claim), 64).unwrap();
    assert_eq!(frame, [4, 0, 0, 0, 2, 1, b'a', 7]);
    assert_eq!(encode(&Verdict::Abandon, 64).unwrap(), [1, 0, 0, 0, 1]);
}
