//! The outbox returns exactly the events it was given, from memory, from disk and after a restart.

use plue_plan::AttemptId;
use plue_wire::{
    Splitter,
    eval::Bytes,
    runner::{Exit, Fence},
};
use proptest::prelude::*;

use super::*;

fn claim() -> Claim {
    Claim { attempt: AttemptId::new("a"), fence: Fence(1) }
}

fn result() -> AttemptResult {
    AttemptResult {
        claim: claim(),
        seq: 0,
        at_us: 0,
        exit: Exit::Code(0),
        output_json: "\"\"".to_owned(),
        wall_us: 0,
        cpu_us: 0,
        max_rss_kib: 0,
        leaked: 0,
    }
}

fn sent(outbox: &mut Outbox) -> Vec<u64> {
    let mut splitter = Splitter::new(MAX_FRAME_BYTES);
    while outbox.next_frame(splitter.buffer()).unwrap() {}
    let mut seqs = Vec::new();
    while let Some(message) = splitter.next_frame::<FromRunner>().unwrap() {
        if let FromRunner::Event(AttemptEvent { seq, .. })
        | FromRunner::Result(AttemptResult { seq, .. }) = message
        {
            seqs.push(seq);
        }
    }
    seqs
}

fn chunk(size: usize) -> EventKind {
    EventKind::Stdout(Bytes(vec![b'x'; size]))
}

#[derive(Debug, Clone)]
enum Move {
    Push(usize),
    Send,
    Ack(u64),
    Persist,
    /// The disk is full, or has room again.
    Full(bool),
    Reconnect(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0_usize..200_000).prop_map(Move::Push),
        4 => Just(Move::Send),
        2 => (0_u64..4).prop_map(Move::Ack),
        1 => Just(Move::Persist),
        1 => any::<bool>().prop_map(Move::Full),
        1 => (0_u64..4).prop_map(Move::Reconnect),
    ];
    prop::collection::vec(one, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However an engine acknowledges and comes back, it sees every number in order.
    #[test]
    fn the_engine_sees_a_contiguous_sequence(moves in moves()) {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::new(claim(), folder.path().join("events"));
        let (mut pushed, mut seen, mut acked) = (0, 0, 0);
        for step in moves.into_iter().chain([Move::Reconnect(0), Move::Ack(0), Move::Send]) {
            match step {
                Move::Push(size) => {
                    outbox.push(0, chunk(size)).unwrap();
                    pushed += 1;
                }
                Move::Send => {
                    for seq in sent(&mut outbox) {
                        prop_assert!(seq <= seen + 1, "{seq} after {seen}");
                        seen = seen.max(seq);
                    }
                }
                Move::Ack(behind) => {
                    acked = acked.max(seen.saturating_sub(behind));
                    outbox.ack(acked);
                }
                Move::Persist => outbox.persist(),
                Move::Full(is_full) => outbox.spill.set_full(is_full),
                Move::Reconnect(behind) => {
                    acked = acked.max(seen.saturating_sub(behind));
                    seen = acked;
                    outbox.ack(acked);
                    outbox.rewind(acked + 1, 0).unwrap();
                }
            }
        }
        // The credit may end a round early, but never for good.
        while seen < pushed {
            outbox.ack(seen);
            let more = sent(&mut outbox);
            prop_assert!(!more.is_empty(), "stuck at {seen} of {pushed}");
            for seq in more {
                prop_assert_eq!(seq, seen + 1);
                seen = seq;
            }
        }
        outbox.ack(seen);
        prop_assert!(outbox.is_empty());
    }
}

#[test]
fn events_over_the_memory_window_are_spilled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let mut outbox = Outbox::new(claim(), file.clone());
    outbox.add_credit(u64::MAX);
    for _ in 0..40 {
        outbox.push(0, chunk(60_000)).unwrap();
    }
    assert!(file.metadata().unwrap().len() > 1_000_000);
    assert_eq!(sent(&mut outbox), (1..=40).collect::<Vec<_>>());
    outbox.rewind(10, 0).unwrap();
    assert_eq!(sent(&mut outbox), (10..=40).collect::<Vec<_>>());
    let freed = outbox.ack(40);
    assert!((40 * 60_000..40 * 60_100).contains(&freed), "{freed}");
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[test]
fn credit_bounds_events_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::new(claim(), folder.path().join("events"));
    for _ in 0..60 {
        outbox.push(0, chunk(60_000)).unwrap();
    }
    let first = sent(&mut outbox).len();
    assert!(first < 20, "{first} frames of 60 kB are more than 1 MiB");
    assert!(sent(&mut outbox).is_empty());
    outbox.ack(5);
    assert_eq!(sent(&mut outbox).len(), 5);
    outbox.add_credit(120_000);
    assert_eq!(sent(&mut outbox).len(), 2);
}

#[test]
fn a_restart_finds_events_and_result_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let mut outbox = Outbox::new(claim(), file.clone());
    for _ in 0..3 {
        outbox.push(0, chunk(10)).unwrap();
    }
    outbox.persist();
    outbox.push(0, chunk(10)).unwrap();
    outbox.end(result()).unwrap();
    outbox.ack(1);
    drop(outbox);
    let mut outbox = Outbox::load(claim(), file).unwrap();
    assert!(outbox.ended());
    assert_eq!(sent(&mut outbox), [1, 2, 3, 4, 5]);
}

#[test]
fn cut_frames_at_the_end_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let mut outbox = Outbox::new(claim(), file.clone());
    outbox.push(0, chunk(100)).unwrap();
    outbox.push(0, chunk(100)).unwrap();
    outbox.persist();
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 7]).unwrap();
    let mut outbox = Outbox::load(claim(), file).unwrap();
    assert!(!outbox.ended());
    assert_eq!(sent(&mut outbox), [1]);
}

#[test]
fn the_result_stays_until_its_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::new(claim(), folder.path().join("events"));
    outbox.push(0, chunk(1)).unwrap();
    outbox.end(result()).unwrap();
    assert_eq!(sent(&mut outbox), [1, 2]);
    outbox.ack(2);
    outbox.resend_result();
    assert_eq!(sent(&mut outbox), [2]);
}

#[test]
fn dropped_events_become_gap_markers() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::new(claim(), folder.path().join("events"));
    for _ in 0..4 {
        outbox.push(0, chunk(1)).unwrap();
    }
    outbox.ack(3);
    outbox.rewind(2, 0).unwrap();
    assert_eq!(sent(&mut outbox), [2, 3, 4]);
}

#[test]
fn failure_case_20_a_full_disk_keeps_events_in_memory() {
    let mut outbox = Outbox::new(claim(), PathBuf::from("/dev/full"));
    outbox.add_credit(u64::MAX);
    for _ in 0..30 {
        outbox.push(0, chunk(60_000)).unwrap();
    }
    assert!(outbox.disk_failed());
    assert_eq!(sent(&mut outbox), (1..=30).collect::<Vec<_>>());
}
