//! Two engines at the same rows, at the same time.

use std::collections::BTreeSet;

use plue_flow::{AttemptStatus, Fact, RunStatus, fact::Outcome};
use plue_plan::{AttemptId, RunId, RunnerId};
use plue_store::{AttemptEnd, LogPiece, LogRange, Refused, Store};
use plue_wire::runner::{Claim, ResultVerdict};

use crate::support::{assign, at, commit, new_attempt, stdout, success};

/// Reads a log as a follower does, until it has seen the last event.
async fn follow(store: &Store, attempt: &AttemptId, last: u64) -> Vec<LogPiece> {
    let mut all: Vec<LogPiece> = Vec::new();
    while all.last().is_none_or(|piece| piece.seq < last) {
        let after = all.last().map_or(0, |piece| piece.seq);
        all.extend(store.logs().read(attempt, LogRange::After(after, 5_000)).await.unwrap());
        tokio::task::yield_now().await;
    }
    all
}

fn bytes(pieces: &[LogPiece]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| piece.bytes.clone()).collect()
}

on_each_store! {
    async fn failure_case_46_an_engine_that_was_paused_too_long_changes_nothing(world) {
        // The paused engine has made all these decisions on what it knew.
        let paused = world.store.clone();
        let claim = world.started("r1", "a1").await;
        let run = RunId::new("r1");
        let runner = RunnerId::new("runner-of-a1");
        let epoch = paused.runners().get(&runner).await.unwrap().unwrap().epoch;
        // Meanwhile another one gives the runner up and the attempt to a new one.
        let other = world.another().await;
        other.runners().gone(&runner, "lease over", at(12)).await.unwrap();
        let mut again = commit(&run, 2, RunStatus::Running);
        again.facts.push(Fact::RunStarted);
        again.requeue.push(claim.clone());
        other.runs().commit(again).await.unwrap().unwrap();
        let fresh = world.runner("w2", Some(&run)).await;
        let new = other.attempts().claim(&RunnerId::new("w2"), fresh, 1, at(13)).await.unwrap();
        // The paused engine goes on.
        let events = vec![(claim.clone(), vec![stdout(&claim, 2, b"old news")])];
        assert_eq!(paused.journal().append(events).await.unwrap()[0].ack_seq, None);
        let mut end = commit(&run, 2, RunStatus::Success);
        end.ends.push(success(&claim, 3));
        assert_eq!(paused.runs().commit(end.clone()).await.unwrap(), Err(Refused::Stale { seq: 3 }));
        end.expect_seq = 3;
        let verdict = ResultVerdict::Fenced;
        let refused = Refused::Result { claim: claim.clone(), verdict };
        assert_eq!(paused.runs().commit(end).await.unwrap(), Err(refused));
        assert!(paused.attempts().claim(&runner, epoch, 9, at(14)).await.unwrap().is_empty());
        let row = other.attempts().get(&claim.attempt).await.unwrap().unwrap();
        assert_eq!((row.claim, row.ack_seq), (new[0].claim.clone(), 0));
    }

    async fn failure_case_08_one_result_sent_to_two_engines_at_once_is_recorded_once(world) {
        let other = world.another().await;
        for n in 0..10 {
            let claim = world.started(&format!("r{n}"), &format!("a{n}")).await;
            let mut end = commit(&RunId::new(format!("r{n}")), 2, RunStatus::Success);
            end.facts.push(Fact::RunStarted);
            end.ends.push(success(&claim, 2));
            let (a, b) = tokio::join!(world.store.runs().commit(end.clone()), other.runs().commit(end.clone()));
            let (a, b) = (a.unwrap(), b.unwrap());
            assert_ne!(a.is_ok(), b.is_ok(), "round {n}");
            // The loser loads the run again, and is told what its runner shall hear.
            end.expect_seq = 3;
            let verdict = ResultVerdict::Duplicate;
            let refused = Refused::Result { claim, verdict };
            assert_eq!(other.runs().commit(end).await.unwrap(), Err(refused));
        }
    }

    async fn events_that_arrive_twice_at_once_are_stored_once(world) {
        let claim = world.started("r1", "a1").await;
        let other = world.another().await;
        let events: Vec<_> =
            (2..60).map(|seq| stdout(&claim, seq, format!("{seq}\n").as_bytes())).collect();
        let sends = (0..12_usize).map(|n| {
            let store = if n % 2 == 0 { &world.store } else { &other };
            let from = n * 3;
            store.journal().append(vec![(claim.clone(), events[from..].to_vec())])
        });
        for answer in futures::future::join_all(sends).await {
            answer.unwrap();
        }
        let rest = world.store.journal().append(vec![(claim.clone(), events.clone())]).await.unwrap();
        assert_eq!(rest[0].ack_seq, Some(59));
        let log = follow(&world.store, &claim.attempt, 59).await;
        let expected: String = (2..60).map(|seq| format!("{seq}\n")).collect();
        assert_eq!(String::from_utf8(bytes(&log)).unwrap(), expected);
        assert!(log.windows(2).all(|two| two[0].end() == two[1].first_byte));
    }

    async fn an_end_and_its_events_may_cross(world) {
        let other = world.another().await;
        for n in 0..10 {
            let (run, id) = (format!("r{n}"), format!("a{n}"));
            let claim = world.started(&run, &id).await;
            let tail = vec![stdout(&claim, 2, b"one "), stdout(&claim, 3, b"two")];
            let mut end = commit(&RunId::new(run), 2, RunStatus::Success);
            end.ends.push(AttemptEnd { tail: tail.clone(), ..success(&claim, 4) });
            let sent = vec![(claim.clone(), tail)];
            let (ended, appended) = tokio::join!(world.store.runs().commit(end), other.journal().append(sent));
            ended.unwrap().unwrap();
            // Before the end: all of it. After: the claim is over.
            assert!(matches!(appended.unwrap()[0].ack_seq, Some(3) | None));
            let log = world.store.logs().read(&claim.attempt, LogRange::Tail(9)).await.unwrap();
            assert_eq!(bytes(&log), b"one two");
        }
    }

    async fn who_follows_a_log_does_not_notice_that_it_is_packed(world) {
        let claim = world.started("r1", "a1").await;
        let events: Vec<_> =
            (2..402).map(|seq| stdout(&claim, seq, format!("{seq:05}\n").repeat(30).as_bytes())).collect();
        world.store.journal().append(vec![(claim.clone(), events)]).await.unwrap();
        world.end(&RunId::new("r1"), 2, success(&claim, 402)).await.unwrap();
        let before = follow(&world.store, &claim.attempt, 401).await;
        let (one, two) = (world.another().await, world.another().await);
        let (packed, a, b) = tokio::join!(
            world.store.packed_logs().pack(&claim.attempt),
            follow(&one, &claim.attempt, 401),
            follow(&two, &claim.attempt, 401),
        );
        packed.unwrap();
        assert!(a == before && b == before);
        assert!(follow(&one, &claim.attempt, 401).await == before);
    }

    async fn a_cancel_and_a_claim_of_one_queued_attempt_have_one_winner(world) {
        let other = world.another().await;
        for n in 0..15 {
            let run = world.queued(&format!("r{n}"), &format!("a{n}")).await;
            let epoch = world.runner(&format!("w{n}"), Some(&run)).await;
            let runner = RunnerId::new(format!("w{n}"));
            let mut cancel = commit(&run, 2, RunStatus::Running);
            cancel.cancels.push(AttemptId::new(format!("a{n}")));
            let (cancelled, claimed) = tokio::join!(
                world.store.runs().commit(cancel),
                other.attempts().claim(&runner, epoch, 1, at(10))
            );
            let (cancelled, claimed) = (cancelled.unwrap().is_ok(), claimed.unwrap());
            let row = world.store.attempts().get(&AttemptId::new(format!("a{n}"))).await.unwrap().unwrap();
            if cancelled {
                assert_eq!((row.state, claimed.len()), (AttemptStatus::Cancelled, 0));
            } else {
                assert_eq!((row.state, claimed.len()), (AttemptStatus::Assigned, 1));
            }
        }
    }

    async fn a_session_that_opens_while_work_is_assigned_knows_of_it(world) {
        let other = world.another().await;
        for n in 0..10 {
            let run = world.created(&format!("r{n}")).await;
            let name = format!("w{n}");
            let epoch = world.runner(&name, Some(&run)).await;
            let runner = RunnerId::new(name.clone());
            let mut next = commit(&run, 1, RunStatus::Running);
            next.attempts.push(new_attempt(&format!("a{n}")));
            next.assign_to = Some(assign(&name, epoch));
            let (committed, hello) = tokio::join!(
                world.store.runs().commit(next),
                other.runners().greet(&runner, "hash", "boot", at(9))
            );
            assert_eq!(hello.unwrap(), epoch + 1);
            let assigned: BTreeSet<_> =
                committed.unwrap().unwrap().assigned.into_iter().map(|claim| claim.fence).collect();
            let held = other.attempts().claims_of(&runner).await.unwrap();
            let held: BTreeSet<_> = held.into_iter().map(|row| row.claim.fence).collect();
            assert_eq!(held, assigned, "either it was assigned and is known, or it is queued");
        }
    }

    async fn a_deleted_run_and_a_late_runner_get_along(world) {
        let claim = world.started("r1", "a1").await;
        let run = RunId::new("r1");
        let lost = AttemptEnd {
            seq: None,
            status: AttemptStatus::Lost,
            outcome: Outcome::Infra { message: "gone".to_owned() },
            ..success(&claim, 0)
        };
        world.end(&run, 2, lost).await.unwrap();
        assert!(world.store.retention().delete_run(&run).await.unwrap());
        let late = |claim: &Claim| vec![(claim.clone(), vec![stdout(claim, 2, b"late")])];
        assert_eq!(world.store.journal().append(late(&claim)).await.unwrap()[0].ack_seq, None);
        let mut end = commit(&run, 3, RunStatus::Success);
        end.ends.push(success(&claim, 2));
        assert_eq!(world.store.runs().commit(end).await.unwrap(), Err(Refused::NoRun));
    }

    async fn a_portion_of_a_log_has_at_least_one_piece(world) {
        let claim = world.started("r1", "a1").await;
        let read = async |range| world.store.logs().read(&claim.attempt, range).await.unwrap();
        for empty in [LogRange::After(0, 9), LogRange::Tail(9), LogRange::Bytes(0..9)] {
            assert_eq!(read(empty).await, []);
        }
        let sent = (2..5).map(|seq| stdout(&claim, seq, b"0123456789\n")).collect();
        world.store.journal().append(vec![(claim.clone(), sent)]).await.unwrap();
        assert_eq!(read(LogRange::After(0, 0)).await.len(), 1);
        assert_eq!(read(LogRange::After(0, 22)).await.len(), 2);
        assert_eq!(read(LogRange::After(2, u64::MAX)).await.len(), 2);
        assert_eq!(read(LogRange::After(4, 9)).await, []);
        #[expect(clippy::reversed_empty_ranges, reason = "callers may send what they like")]
        let odd = [LogRange::Bytes(9..3), LogRange::Lines(2..1), LogRange::Lines(7..9)];
        for range in odd {
            assert_eq!(read(range).await, []);
        }
        let all = read(LogRange::Lines(0..u64::MAX)).await;
        assert_eq!(bytes(&all).len(), 33);
        let cut = read(LogRange::Bytes(12..14)).await;
        assert_eq!((cut.len(), cut[0].first_byte, cut[0].first_line), (1, 12, 1));
        assert_eq!(cut[0].bytes, b"12".map(|digit| digit));
    }
}
