//! Tests of the pieces of one open log.

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn opened(limit: u64) -> Pieces {
    let mut pieces = Pieces::held(limit);
    pieces.begin(&Held {
        id: plue_plan::AttemptId::new("a"),
        run: plue_plan::RunId::new("r"),
        state: plue_flow::AttemptStatus::Running,
        fence: plue_wire::runner::Fence(1),
        ack_seq: 3,
        log_bytes: 10,
        log_newlines: 2,
        log_seq: 0,
    });
    pieces
}

fn add(pieces: &mut Pieces, text: &str) -> bool {
    pieces.add(text.as_bytes().to_vec(), NOW)
}

fn shown(pieces: &Pieces, behind: u64) -> Vec<(u64, u64, String)> {
    let LivePieces::Shown(found) = pieces.behind(behind) else { panic!("not kept") };
    let text = |piece: &LogPiece| String::from_utf8(piece.bytes.clone()).unwrap();
    found.iter().map(|piece| (piece.seq, piece.first_byte, text(piece))).collect()
}

#[test]
fn pieces_continue_far_behind_what_is_stored() {
    let mut pieces = opened(1_000);
    assert!(add(&mut pieces, "ab\n") && add(&mut pieces, "c"));
    let expected = [(3 + JUMP, 10, "ab\n".to_owned()), (4 + JUMP, 13, "c".to_owned())];
    assert_eq!(shown(&pieces, 3), expected);
    assert_eq!(shown(&pieces, 3 + JUMP), expected[1..]);
    assert_eq!(pieces.behind(2), LivePieces::Older);
    assert_eq!(pieces.unstored()[1].first_line, 3);
}

#[test]
fn stored_pieces_are_kept_for_followers() {
    let mut pieces = opened(1_000);
    add(&mut pieces, "a");
    add(&mut pieces, "b");
    assert!(!pieces.stored(3 + JUMP, Vec::new(), NOW));
    assert_eq!((pieces.unstored().len(), shown(&pieces, 3).len()), (1, 2));
    pieces.stored(4 + JUMP, Vec::new(), NOW);
    assert!(pieces.is_stored());
}

#[test]
fn text_waits_while_events_of_the_runner_are_stored() {
    let mut pieces = opened(1_000);
    add(&mut pieces, "a");
    pieces.hold();
    assert!(!add(&mut pieces, "c") && !add(&mut pieces, "d"));
    assert_eq!(pieces.unstored().len(), 1);
    let of_runner = LogPiece {
        seq: 4 + JUMP,
        at: NOW,
        stream: LogStream::Stderr,
        first_byte: 11,
        first_line: 2,
        bytes: b"b".to_vec(),
    };
    assert!(pieces.stored(3 + JUMP, vec![of_runner], NOW));
    let text: String = shown(&pieces, 3).into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(text, "abcd");
    let unstored = pieces.unstored();
    assert_eq!((unstored.len(), unstored[0].seq, unstored[0].first_byte), (1, 5 + JUMP, 12));
}

#[test]
fn text_is_joined_while_the_database_is_behind() {
    let mut pieces = opened(100_000);
    for _ in 0..MAX_UNSTORED {
        assert!(add(&mut pieces, "x"));
    }
    assert!(!add(&mut pieces, "y") && !add(&mut pieces, "z"));
    assert_eq!(pieces.waiting_bytes(), 2);
    let last = pieces.unstored().last().unwrap().seq;
    assert!(pieces.stored(last, Vec::new(), NOW));
    assert_eq!(shown(&pieces, last), [(last + 1, 10 + MAX_UNSTORED as u64, "yz".to_owned())]);
}

#[test]
fn text_over_the_limit_is_counted() {
    let mut pieces = opened(14);
    add(&mut pieces, "abcdef");
    add(&mut pieces, "gh");
    pieces.finish(NOW);
    let texts: Vec<_> = shown(&pieces, 3).into_iter().map(|(_, byte, text)| (byte, text)).collect();
    assert_eq!(texts[0], (10, "abcd".to_owned()));
    assert!(texts[1].1.contains("its limit of 14 bytes"));
    assert_eq!(texts[2], (14, "4 the log is over its limit".to_owned()));
    assert_eq!(texts.len(), 3);
}

#[test]
fn stored_pieces_take_bounded_memory() {
    let mut pieces = opened(u64::MAX);
    for _ in 0..10_000 {
        add(&mut pieces, &"x".repeat(100));
        let last = pieces.unstored().last().unwrap().seq;
        pieces.stored(last, Vec::new(), NOW);
    }
    assert!(pieces.kept_bytes <= KEPT_BYTES && pieces.kept.len() <= KEPT_BYTES / 100);
    assert_eq!(pieces.behind(3), LivePieces::Older);
}
