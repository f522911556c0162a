//! Logs to which the process itself adds text, together with events of a runner.

use plue_plan::{AttemptId, RunId};
use plue_store::{LivePieces, LogPiece, LogRange, LogReader, Store, usage::claude::NewFacts};
use plue_wire::runner::Claim;
use serde_json::{Value as Json, json};

use crate::support::{at, stdout, success};

const LIMIT: u64 = 1_000_000;

fn facts(claim: &Claim, first: u64, facts: Vec<Json>) -> NewFacts {
    let (run, attempt) = (RunId::new("r1"), claim.attempt.clone());
    NewFacts { run, attempt, first, facts, settlement: None, at: at(20) }
}

fn shown(reader: &mut LogReader, behind: u64) -> Vec<LogPiece> {
    match reader.behind(behind) {
        LivePieces::Shown(pieces) => pieces,
        other => panic!("{other:?}"),
    }
}

/// Number, offset and text of pieces.
fn places(pieces: &[LogPiece]) -> Vec<(u64, u64, String)> {
    let text = |piece: &LogPiece| String::from_utf8(piece.bytes.clone()).unwrap();
    pieces.iter().map(|piece| (piece.seq, piece.first_byte, text(piece))).collect()
}

async fn stored(store: &Store, attempt: &AttemptId, behind: u64) -> Vec<LogPiece> {
    store.logs().read(attempt, LogRange::After(behind, LIMIT)).await.unwrap()
}

async fn text(store: &Store, attempt: &AttemptId) -> String {
    let pieces = stored(store, attempt, 0).await;
    let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.bytes).collect();
    String::from_utf8(bytes).unwrap()
}

on_each_store! {
    async fn text_of_the_engine_and_events_have_one_order(world) {
        let claim = world.started("r1", "a1").await;
        let (store, attempt) = (&world.store, &claim.attempt);
        store.journal().append(vec![(claim.clone(), vec![stdout(&claim, 2, b"first\n")])]).await.unwrap();
        let log = store.open_logs().open(&claim, LIMIT).await.unwrap();
        let mut reader = store.open_logs().reader_of(attempt).unwrap();
        let (mut seen, mut expected, mut event) = (Vec::new(), "first\n".to_owned(), 3);
        for n in 0..60 {
            log.add(format!("text {n}\n").into_bytes());
            expected += &format!("text {n}\n");
            if n % 7 == 0 {
                let line = format!("event {event}\n");
                let sent = vec![stdout(&claim, event, line.as_bytes())];
                let appended = store.journal().append(vec![(claim.clone(), sent.clone())]).await.unwrap();
                assert_eq!(appended[0].ack_seq, Some(event));
                // The runner sends again what was not acknowledged in time.
                let again = store.journal().append(vec![(claim.clone(), sent)]).await.unwrap();
                assert_eq!(again[0].ack_seq, Some(event));
                (expected, event) = (expected + &line, event + 1);
            }
            let last = seen.last().map_or(2, |piece: &LogPiece| piece.seq);
            seen.extend(shown(&mut reader, last));
        }
        store.open_logs().close(attempt).await;
        assert_eq!(text(store, attempt).await, expected);
        assert_eq!(places(&stored(store, attempt, 2).await), places(&seen), "as it was shown");
        assert_eq!(reader.behind(seen.last().unwrap().seq), LivePieces::Over);
        assert!(store.open_logs().reader_of(attempt).is_none());
        let stat = store.logs().stat(attempt).await.unwrap().unwrap();
        assert_eq!((stat.bytes, stat.lines), (expected.len() as u64, expected.lines().count() as u64));
        // The tail of the result comes behind.
        let mut end = success(&claim, event + 1);
        end.tail.push(stdout(&claim, event, b"last\n"));
        world.end(&RunId::new("r1"), 2, end).await.unwrap();
        assert_eq!(text(store, attempt).await, expected + "last\n");
    }

    async fn facts_and_text_are_stored_together_or_not_at_all(world) {
        let claim = world.started("r1", "a1").await;
        let (store, attempt) = (&world.store, &claim.attempt);
        let log = store.open_logs().open(&claim, LIMIT).await.unwrap();
        let turn = log.turn().await;
        log.add(b"one\n".to_vec());
        let new = facts(&claim, 1, vec![json!({"fact": "a"})]);
        assert!(log.append_transcript(&turn, new.clone()).await.unwrap());
        assert_eq!(text(store, attempt).await, "one\n");
        log.add(b"two\n".to_vec());
        assert!(!log.append_transcript(&turn, new).await.unwrap(), "the number is taken");
        assert_eq!(text(store, attempt).await, "one\n");
        let more = facts(&claim, 2, vec![json!({"fact": "b"})]);
        assert!(log.append_transcript(&turn, more).await.unwrap());
        assert_eq!(text(store, attempt).await, "one\ntwo\n");
        drop((turn, log));
        store.open_logs().close(attempt).await;
        assert_eq!(text(store, attempt).await, "one\ntwo\n");
        assert_eq!(store.transcripts().of(attempt).await.unwrap().len(), 2);
    }

    async fn another_engine_numbers_behind_what_may_have_been_shown(world) {
        let claim = world.started("r1", "a1").await;
        let (store, attempt) = (&world.store, &claim.attempt);
        let log = store.open_logs().open(&claim, LIMIT).await.unwrap();
        log.add(b"half".to_vec());
        let mut reader = store.open_logs().reader_of(attempt).unwrap();
        let last = shown(&mut reader, 1).last().unwrap().seq;
        store.open_logs().close(attempt).await;
        // This engine dies with text that only a viewer has.
        let lost = last + 10_000;
        let other = world.another().await;
        let again = other.open_logs().open(&claim, LIMIT).await.unwrap();
        assert!(again.is_mid_line());
        again.add(b"\nwhole\n".to_vec());
        other.open_logs().close(attempt).await;
        let found = stored(&other, attempt, lost).await;
        assert_eq!(places(&found)[0].1, 4, "behind what is stored");
        assert_eq!(text(store, attempt).await, "half\nwhole\n");
        assert!(store.attempts().get(attempt).await.unwrap().unwrap().log_reach > lost);
    }

    async fn text_of_many_logs_is_stored_and_followed(world) {
        let mut logs = Vec::new();
        for n in 0..40 {
            let claim = world.started(&format!("r{n}"), &format!("a{n}")).await;
            logs.push((world.store.open_logs().open(&claim, LIMIT).await.unwrap(), claim));
        }
        for round in 0..20 {
            for (log, _) in &logs {
                log.add(format!("{round}\n").into_bytes());
            }
            tokio::task::yield_now().await;
        }
        let expected: String = (0..20).map(|round| format!("{round}\n")).collect();
        let other = world.another().await;
        for (log, claim) in logs {
            // Left, and not closed: the text is stored all the same.
            drop(log);
            while text(&other, &claim.attempt).await != expected {
                tokio::task::yield_now().await;
            }
        }
    }
}
