//! Logs: every byte that was printed, by byte and by line, before and after packing; against a plain
//! `Vec<u8>` as the model.

use plue_plan::{AttemptId, RunId};
use plue_store::{
    LogHit, LogPiece, LogPosition, LogRange, LogStream, Store,
    log::{LineWindow, LogPattern, MatchBounds, PatternForm},
};
use plue_wire::{
    eval::Bytes,
    runner::{AttemptEvent, Claim, EventKind},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::support::{World, event, stdout, success};

/// What one event prints.
#[derive(Debug, Clone)]
enum Print {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Note,
    Gap,
}

/// The log as one text.
struct Model {
    bytes: Vec<u8>,
}

impl Model {
    fn of(prints: &[Print]) -> Self {
        let bytes = prints.iter().flat_map(|print| match print {
            Print::Out(bytes) | Print::Err(bytes) => bytes.clone(),
            Print::Note | Print::Gap => Vec::new(),
        });
        Self { bytes: bytes.collect() }
    }

    fn lines(&self) -> Vec<&[u8]> {
        let mut lines: Vec<_> = self.bytes.split_inclusive(|byte| *byte == b'\n').collect();
        lines.retain(|line| !line.is_empty());
        lines
    }

    fn line_range(&self, from: u64, to: u64) -> Vec<u8> {
        let lines = self.lines();
        let (from, to) = (clamp(from, lines.len()), clamp(to, lines.len()));
        lines[from.min(to)..to].concat()
    }

    fn byte_range(&self, from: u64, to: u64) -> Vec<u8> {
        let (from, to) = (clamp(from, self.bytes.len()), clamp(to, self.bytes.len()));
        self.bytes[from.min(to)..to].to_vec()
    }

    /// Byte by byte, and so without any idea of pieces.
    fn hits(&self, needle: &[u8], limit: usize) -> Vec<(u64, u64)> {
        let (mut hits, mut at, mut line) = (Vec::new(), 0, 0);
        while at + needle.len() <= self.bytes.len() && hits.len() < limit {
            let found = self.bytes[at] == needle[0] && self.bytes[at..].starts_with(needle);
            if found {
                hits.push((line, at as u64));
            }
            for byte in &self.bytes[at..at + if found { needle.len() } else { 1 }] {
                line += u64::from(*byte == b'\n');
                at += 1;
            }
        }
        hits
    }

    /// Each line with the text once: behind a place, the next line is looked at.
    fn lines_with(&self, needle: &[u8]) -> Vec<(u64, u64)> {
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(at) = self.bytes[from..].windows(needle.len()).position(|w| w == needle) {
            let at = from + at;
            found.push((self.line_of(at as u64), at as u64));
            let Some(end) = self.bytes[at..].iter().position(|byte| *byte == b'\n') else { break };
            from = at + end + 1;
        }
        found
    }

    fn line_of(&self, offset: u64) -> u64 {
        self.bytes[..clamp(offset, self.bytes.len())].split(|byte| *byte == b'\n').count() as u64
            - 1
    }
}

fn clamp(value: u64, length: usize) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX).min(length)
}

fn output(pieces: &[LogPiece]) -> Vec<u8> {
    let output = pieces.iter().filter(|piece| piece.stream.is_output());
    output.flat_map(|piece| piece.bytes.clone()).collect()
}

fn events(claim: &Claim, prints: &[Print]) -> Vec<AttemptEvent> {
    let kinds = prints.iter().map(|print| match print {
        Print::Out(bytes) => EventKind::Stdout(Bytes(bytes.clone())),
        Print::Err(bytes) => EventKind::Stderr(Bytes(bytes.clone())),
        Print::Note => EventKind::Note("leaked 2".to_owned()),
        Print::Gap => EventKind::Gap { bytes: 9, reason: "cap".to_owned() },
    });
    kinds.zip(2..).map(|(kind, seq)| event(claim, seq, kind)).collect()
}

/// Bytes as processes print them, and worse.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let letters = prop::collection::vec(prop::sample::select(b"ab\n\n\r\0\xff".to_vec()), 0..40);
    let full = (0_u8..4).prop_map(|n| {
        let mut chunk = vec![b'a' + n; 64 * 1024];
        chunk[usize::from(n) * 20_000] = b'\n';
        chunk
    });
    prop_oneof![15 => letters, 1 => full]
}

fn print() -> impl Strategy<Value = Print> {
    prop_oneof![
        8 => text().prop_map(Print::Out),
        4 => text().prop_map(Print::Err),
        1 => Just(Print::Note),
        1 => Just(Print::Gap),
    ]
}

async fn same(store: &Store, attempt: &AttemptId, model: &Model, cut: (u64, u64)) {
    let stat = store.logs().stat(attempt).await.unwrap().unwrap();
    let lines = model.lines().len() as u64;
    assert_eq!((stat.bytes, stat.lines), (model.bytes.len() as u64, lines));
    let (a, b) = (cut.0 % (stat.bytes + 2), cut.1 % (stat.bytes + 2));
    let got = store.logs().read(attempt, LogRange::Bytes(a..b)).await.unwrap();
    assert!(output(&got) == model.byte_range(a, b), "bytes {a}..{b}");
    for piece in got.iter().take(3) {
        assert_eq!(piece.first_line, model.line_of(piece.first_byte));
    }
    let (a, b) = (cut.0 % (lines + 2), cut.1 % (lines + 2));
    let got = store.logs().read(attempt, LogRange::Lines(a..b)).await.unwrap();
    assert!(output(&got) == model.line_range(a, b), "lines {a}..{b}");
    let got = store.logs().read(attempt, LogRange::Tail(a)).await.unwrap();
    assert!(output(&got) == model.line_range(lines.saturating_sub(a), lines), "tail {a}");
    for needle in [&b"a\n"[..], b"\xff", b"bb", b"aaaaaaaaaaaaaaaaaaaaaaa", b"zz"] {
        let hits = store.log_search().hits(attempt, needle, 50).await.unwrap();
        let expected = model.hits(needle, 50);
        let found: Vec<_> = hits.iter().map(|hit| (hit.line, hit.byte)).collect();
        assert_eq!(found, expected, "{needle:?}");
        // In as many requests as the cut says, and the same lines.
        let most = (clamp(cut.0 % 3 + 1, 3), cut.1 % 100_000);
        let found = found_lines(store, attempt, needle, most).await;
        assert_eq!(found, model.lines_with(needle), "{needle:?} {most:?}");
    }
    let cut = Cut { first: cut.0, second: cut.1 };
    same_window(store, attempt, model, &cut).await;
    same_matches(store, attempt, model, &cut).await;
}

/// Random numbers that choose parts of a log.
struct Cut {
    first: u64,
    second: u64,
}

/// Lines by number, each cut to its first bytes.
async fn same_window(store: &Store, attempt: &AttemptId, model: &Model, cut: &Cut) {
    let lines = model.lines();
    let (from, cap) =
        (cut.first % (lines.len() as u64 + 2), clamp(cut.second % 50_000, 50_000) + 1);
    let window = LineWindow { lines: from..from + cut.second % 20, cap };
    let found = store.logs().lines_in(attempt, &window).await.unwrap();
    let expected = lines.iter().enumerate().skip(clamp(from, lines.len()));
    let mut count = 0;
    for ((number, text), line) in expected.take(clamp(cut.second % 20, 20)).zip(&found.lines) {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        assert_eq!((line.number, line.length), (number as u64, text.len() as u64), "{window:?}");
        assert!(line.bytes == text[..text.len().min(cap)], "{window:?} line {number}");
        assert_eq!(model.line_of(line.first_byte), line.number);
        count += 1;
    }
    assert_eq!(found.lines.len(), count, "{window:?}");
    let start = model.line_range(0, from).len();
    assert!(found.before == model.bytes[start.saturating_sub(64 * 1024)..start], "{window:?}");
}

/// The count of matching lines, in one request and in many.
async fn same_matches(store: &Store, attempt: &AttemptId, model: &Model, cut: &Cut) {
    for (text, form, plain) in [
        ("bb", PatternForm::default(), &b"bb"[..]),
        ("A\\r?B", PatternForm { is_regex: true, ignores_case: true }, b"ab"),
    ] {
        let pattern = LogPattern::new(text, form).unwrap();
        let lines = model.lines();
        let expected = lines.iter().enumerate().filter(|(_, line)| match form.is_regex {
            true => regex_line(line),
            false => line.windows(plain.len()).any(|part| part == plain),
        });
        let expected: Vec<u64> = expected.map(|(number, _)| number as u64).collect();
        let (mut lines, mut next) = (Vec::new(), Some(LogPosition::default()));
        while let Some(place) = next {
            let bounds = MatchBounds { texts: 2, lines: 100_000, bytes: cut.first % 300_000 };
            let found = store.log_search().matches(attempt, &pattern, place, bounds).await.unwrap();
            assert!(found.count == found.lines.len() as u64 && found.hits.len() <= 2);
            assert_ne!(found.next, Some(place), "no progress");
            lines.extend(found.lines);
            next = found.next;
        }
        assert_eq!(lines, expected, "{text}");
    }
}

/// `a`, perhaps a carriage return, `b`.
fn regex_line(line: &[u8]) -> bool {
    let pairs = line.windows(2).any(|part| part == b"ab");
    pairs || line.windows(3).any(|part| part == b"a\rb")
}

/// The lines with a text, looked for piece by piece.
async fn found_lines(
    store: &Store,
    attempt: &AttemptId,
    needle: &[u8],
    most: (usize, u64),
) -> Vec<(u64, u64)> {
    let (mut all, mut next) = (Vec::new(), Some(LogPosition::default()));
    while let Some(place) = next {
        let found = store.log_search().lines(attempt, needle, place, most).await.unwrap();
        assert!(found.hits.len() <= most.0 && found.next != Some(place), "it gets nowhere");
        for hit in &found.hits {
            assert!(hit.text.len() <= 1024);
        }
        all.extend(found.hits.iter().map(|hit| (hit.line, hit.byte)));
        next = found.next;
    }
    all
}

/// The whole log in small portions, as a follower sees it.
async fn followed(store: &Store, attempt: &AttemptId, max: u64) -> Vec<LogPiece> {
    let mut all: Vec<LogPiece> = Vec::new();
    loop {
        let after = all.last().map_or(0, |piece| piece.seq);
        let some = store.logs().read(attempt, LogRange::After(after, max)).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

async fn check(world: &World, case: usize, prints: Vec<Print>, cut: (u64, u64)) {
    let run = format!("r{case}");
    let claim = world.started(&run, &format!("a{case}")).await;
    let (store, attempt, model) = (&world.store, &claim.attempt, Model::of(&prints));
    let events = events(&claim, &prints);
    let last = events.len() as u64 + 2;
    // In two calls, with some events sent twice.
    let half = events.len() / 2;
    store.journal().append(vec![(claim.clone(), events[..half].to_vec())]).await.unwrap();
    store.journal().append(vec![(claim.clone(), events)]).await.unwrap();
    same(store, attempt, &model, cut).await;
    let before = followed(store, attempt, cut.0 % 200_000).await;
    world.end(&RunId::new(run), 2, success(&claim, last)).await.unwrap();
    store.packed_logs().pack(attempt).await.unwrap();
    same(store, attempt, &model, cut).await;
    store.packed_logs().offload(attempt).await.unwrap();
    same(store, attempt, &model, cut).await;
    let after = followed(store, attempt, cut.1 % 200_000).await;
    assert!(before == after, "packing has changed what a follower sees");
    assert!(!store.packed_logs().unpacked(1_000).await.unwrap().contains(attempt));
}

on_each_store! {
    async fn any_bytes_come_back_by_any_range_before_and_after_packing(world) {
        let prints = prop::collection::vec(print(), 0..30);
        let strategy = (prints, any::<(u64, u64)>());
        let config = Config {
            cases: 16,
            max_shrink_iters: 40,
            failure_persistence: None,
            ..Config::default()
        };
        let case = std::cell::Cell::new(0);
        let run = TestRunner::new(config).run(&strategy, |(prints, cut)| {
            case.set(case.get() + 1);
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(check(&world, case.get(), prints, cut));
            });
            Ok(())
        });
        run.unwrap();
    }

    async fn packed_logs_are_read_in_small_pages(world) {
        let claim = world.started("r1", "a1").await;
        let line = |n: u64| format!("{n:<63}\n").into_bytes();
        let chunk = |seq: u64| (0..1024).flat_map(|n| line(seq * 1024 + n)).collect::<Vec<u8>>();
        let printed: Vec<u8> = (2..82).flat_map(chunk).collect();
        let sent = (2..82).map(|seq| stdout(&claim, seq, &chunk(seq))).collect();
        world.store.journal().append(vec![(claim.clone(), sent)]).await.unwrap();
        for is_packed in [false, true] {
            for max in [1, 100_000, 1_048_577, u64::MAX] {
                let pieces = followed(&world.store, &claim.attempt, max).await;
                assert!(output(&pieces) == printed, "{is_packed} {max}");
            }
            for (from, to) in [(0, 10), (1_048_570, 1_048_580), (70_000, 5_000_000), (9, 1 << 40)] {
                let range = LogRange::Bytes(from..to);
                let pieces = world.store.logs().read(&claim.attempt, range).await.unwrap();
                let (from, to) = (clamp(from, printed.len()), clamp(to, printed.len()));
                assert!(output(&pieces) == printed[from..to], "{is_packed} {from} {to}");
            }
            if !is_packed {
                world.end(&RunId::new("r1"), 2, success(&claim, 82)).await.unwrap();
                world.store.packed_logs().pack(&claim.attempt).await.unwrap();
            }
        }
    }

    async fn remarks_stand_where_they_were_made(world) {
        let claim = world.started("r1", "a1").await;
        let prints = [
            Print::Note, Print::Out(b"one\ntwo".to_vec()), Print::Gap, Print::Err(b"!".to_vec()),
            Print::Note,
        ];
        let sent = vec![(claim.clone(), events(&claim, &prints))];
        world.store.journal().append(sent).await.unwrap();
        let all = world.store.logs().read(&claim.attempt, LogRange::Tail(9)).await.unwrap();
        let streams: Vec<_> = all.iter().map(|piece| (piece.stream, piece.first_byte)).collect();
        assert_eq!(streams, [
            (LogStream::Note, 0), (LogStream::Stdout, 0), (LogStream::Gap, 7),
            (LogStream::Stderr, 7), (LogStream::Note, 8),
        ]);
        assert_eq!((all[2].missing(), all[1].missing()), (Some(9), None));
        let first = world.store.logs().read(&claim.attempt, LogRange::Lines(0..1)).await.unwrap();
        assert_eq!(first.len(), 2, "the note before it, and the line");
    }

    async fn a_hit_across_two_events_has_its_whole_line(world) {
        let claim = world.started("r1", "a1").await;
        let sent = vec![
            stdout(&claim, 2, b"first\nsecond nee"),
            event(&claim, 3, EventKind::Stderr(Bytes(b"dle here\nthird".to_vec()))),
        ];
        world.store.journal().append(vec![(claim.clone(), sent)]).await.unwrap();
        let hits = world.store.log_search().hits(&claim.attempt, b"needle", 5).await.unwrap();
        let text = b"second needle here".to_vec();
        assert_eq!(hits, [LogHit { line: 1, byte: 13, text }]);
        for nothing in [&b""[..], b"absent"] {
            assert!(world.store.log_search().hits(&claim.attempt, nothing, 5).await.unwrap().is_empty());
        }
    }

    async fn failure_case_19_one_long_line_is_kept_and_cut_only_for_show(world) {
        let claim = world.started("r1", "a1").await;
        let chunk = vec![b'x'; 64 * 1024];
        let sent = (2..42).map(|seq| stdout(&claim, seq, &chunk)).collect();
        world.store.journal().append(vec![(claim.clone(), sent)]).await.unwrap();
        let stat = world.store.logs().stat(&claim.attempt).await.unwrap().unwrap();
        assert_eq!((stat.bytes, stat.lines, stat.ended), (40 * 64 * 1024, 1, false));
        let tail = world.store.logs().read(&claim.attempt, LogRange::Tail(1)).await.unwrap();
        assert_eq!(output(&tail).len(), 40 * 64 * 1024);
        let hits = world.store.log_search().hits(&claim.attempt, b"xxxx", 3).await.unwrap();
        assert_eq!(hits.len(), 3);
        assert!(hits.iter().all(|hit| hit.text.len() <= 1024));
    }

    async fn the_log_of_an_attempt_that_runs_is_not_packed(world) {
        let claim = world.started("r1", "a1").await;
        let sent = vec![stdout(&claim, 2, &[b'a'; 9_000]), stdout(&claim, 3, b"b")];
        world.store.journal().append(vec![(claim.clone(), sent)]).await.unwrap();
        world.store.packed_logs().pack(&claim.attempt).await.unwrap();
        assert_eq!(world.sql("SELECT count(*) FROM log_chunk WHERE stream = 'block'").trim(), "0");
    }

    async fn packing_is_done_once_and_makes_less_of_it(world) {
        let claim = world.started("r1", "a1").await;
        let line = b"2026-11-21 all is well, nothing to see\n".repeat(1_000);
        let sent = (2..82).map(|seq| stdout(&claim, seq, &line)).collect();
        world.store.journal().append(vec![(claim.clone(), sent)]).await.unwrap();
        world.end(&RunId::new("r1"), 2, success(&claim, 82)).await.unwrap();
        let other = world.another().await;
        let (a, b) = tokio::join!(
            world.store.packed_logs().pack(&claim.attempt),
            other.packed_logs().pack(&claim.attempt)
        );
        a.and(b).unwrap();
        let rows = world.sql("SELECT count(*), sum(length(data)) < 100000 FROM log_chunk");
        let rows = rows.trim().replace("|t", "|1");
        assert_eq!(rows, "4|1");
        let all = world.store.logs().read(&claim.attempt, LogRange::Bytes(0..u64::MAX)).await.unwrap();
        assert_eq!(output(&all), line.repeat(80));
    }
}
