//! Windows of lines and counts of matches, as a viewer asks for them.

use plue_store::{
    LogPosition, LogStream,
    log::{LineWindow, LogMatches, LogPattern, MatchBounds, PatternForm},
};
use plue_wire::runner::{Claim, EventKind};

use crate::support::{World, event, stdout};

const ALL: MatchBounds = MatchBounds { texts: 100, lines: 1_000, bytes: u64::MAX };

/// A log of `count` lines, each with its number from 0, in pieces of `size` lines.
async fn numbered(world: &World, count: u64, size: usize) -> Claim {
    let claim = world.started("r1", "a1").await;
    let lines: Vec<String> = (0..count).map(|number| format!("line {number}\n")).collect();
    let pieces = lines.chunks(size).map(<[String]>::concat);
    let sent = (2..).zip(pieces).map(|(seq, text)| stdout(&claim, seq, text.as_bytes()));
    world.store.journal().append(vec![(claim.clone(), sent.collect())]).await.unwrap();
    claim
}

async fn matches(world: &World, claim: &Claim, text: &str, form: PatternForm) -> LogMatches {
    let pattern = LogPattern::new(text, form).unwrap();
    let from = LogPosition::default();
    world.store.log_search().matches(&claim.attempt, &pattern, from, ALL).await.unwrap()
}

on_each_store! {
    async fn windows_over_long_lines_read_their_starts(world) {
        let claim = world.started("r1", "a1").await;
        let chunk = vec![b'x'; 64 * 1024];
        let mut sent = vec![stdout(&claim, 2, b"first\n")];
        sent.extend((3..163).map(|seq| stdout(&claim, seq, &chunk)));
        sent.push(stdout(&claim, 163, b"\nlast"));
        world.store.journal().append(vec![(claim.clone(), sent)]).await.unwrap();
        let window = LineWindow { lines: 0..10, cap: 16 };
        let found = world.store.logs().lines_in(&claim.attempt, &window).await.unwrap();
        let lines: Vec<_> = found.lines.iter().map(|line| (line.length, line.bytes.len())).collect();
        assert_eq!(lines, [(5, 5), (160 * 64 * 1024, 16), (4, 4)]);
        let last = found.lines.last().unwrap();
        assert_eq!((last.number, last.first_byte), (2, 6 + 160 * 64 * 1024 + 1));
    }

    async fn windows_have_their_numbers_and_the_text_before(world) {
        let claim = numbered(&world, 1_000, 7).await;
        let window = LineWindow { lines: 500..503, cap: 100 };
        let found = world.store.logs().lines_in(&claim.attempt, &window).await.unwrap();
        let texts: Vec<_> = found.lines.iter().map(|line| line.bytes.as_slice()).collect();
        assert_eq!(texts, [b"line 500", b"line 501", b"line 502"]);
        assert_eq!(found.lines.iter().map(|line| line.number).collect::<Vec<_>>(), [500, 501, 502]);
        assert!(found.before.ends_with(b"line 499\n"));
        let first = found.lines[0].first_byte;
        assert_eq!(world.store.logs().line_offset(&claim.attempt, 500).await.unwrap(), first);
        for lines in [1_000..1_001, 2_000..3_000, 5..5] {
            let window = LineWindow { lines, cap: 100 };
            let found = world.store.logs().lines_in(&claim.attempt, &window).await.unwrap();
            assert_eq!(found.lines, []);
        }
    }

    async fn windows_have_remarks_and_streams(world) {
        let claim = world.started("r1", "a1").await;
        let gap = EventKind::Gap { bytes: 7, reason: "the cap".to_owned() };
        let error = EventKind::Stderr(plue_wire::eval::Bytes(b"two\n".to_vec()));
        let sent = vec![
            stdout(&claim, 2, b"one\n"),
            event(&claim, 3, gap),
            event(&claim, 4, error),
            stdout(&claim, 5, b"three"),
        ];
        world.store.journal().append(vec![(claim.clone(), sent)]).await.unwrap();
        let window = LineWindow { lines: 0..10, cap: 100 };
        let found = world.store.logs().lines_in(&claim.attempt, &window).await.unwrap();
        let streams: Vec<_> = found.lines.iter().map(|line| line.stream).collect();
        assert_eq!(streams, [LogStream::Stdout, LogStream::Stderr, LogStream::Stdout]);
        let remarks: Vec<_> = found.remarks.iter().map(|piece| piece.first_line).collect();
        assert_eq!((remarks, found.remarks[0].missing()), (vec![1], Some(7)));
    }

    async fn matches_are_counted_beyond_those_returned(world) {
        let claim = numbered(&world, 5_000, 100).await;
        let found = matches(&world, &claim, "LINE 4", PatternForm::default()).await;
        assert_eq!((found.count, found.next), (0, None));
        let form = PatternForm { is_regex: false, ignores_case: true };
        let found = matches(&world, &claim, "LINE 4", form).await;
        // 4, 40 to 49, 400 to 499, 4000 to 4999.
        assert_eq!((found.count, found.lines.len(), found.hits.len()), (1_111, 1_000, 100));
        assert_eq!((found.lines[0], found.lines[1], found.hits[2].line), (4, 40, 41));
        assert_eq!(found.hits[2].text, b"line 41");
        let form = PatternForm { is_regex: true, ignores_case: false };
        let found = matches(&world, &claim, r"^line \d(00|99)$", form).await;
        assert_eq!((found.count, found.bytes), (18, 4_000 * 10 + 900 * 9 + 90 * 8 + 10 * 7));
    }

    async fn searches_continue_where_they_stopped(world) {
        let claim = numbered(&world, 3_000, 10).await;
        let pattern = LogPattern::new("7", PatternForm::default()).unwrap();
        let bounds = MatchBounds { texts: 0, lines: 10_000, bytes: 1 };
        let (mut lines, mut requests, mut next) = (Vec::new(), 0, Some(LogPosition::default()));
        while let Some(place) = next {
            let found =
                world.store.log_search().matches(&claim.attempt, &pattern, place, bounds).await.unwrap();
            lines.extend(found.lines);
            requests += 1;
            next = found.next;
        }
        let expected: Vec<u64> = (0..3_000).filter(|n: &u64| n.to_string().contains('7')).collect();
        assert_eq!(lines, expected);
        assert!(requests > 10, "{requests}");
        // From a line on.
        let byte = world.store.logs().line_offset(&claim.attempt, 2_990).await.unwrap();
        let place = LogPosition { byte, in_line: false };
        let found = world.store.log_search().matches(&claim.attempt, &pattern, place, ALL).await.unwrap();
        assert_eq!(found.lines, [2_997]);
    }
}
