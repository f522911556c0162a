//! What is read in pages: journals, the audit trail, deliveries that nobody has looked at.

use std::cell::Cell;

use plue_flow::{Fact, RunStatus};
use plue_plan::RunId;
use plue_store::{AuditRow, DeliveryRow, DeliveryState, Store};
use serde_json::json;

use crate::support::{at, commit};

fn delivery(hook: &str, id: &str, second: i64) -> DeliveryRow {
    DeliveryRow {
        forge: "github".to_owned(),
        hook: hook.to_owned(),
        id: id.to_owned(),
        headers: json!({}),
        body: id.as_bytes().to_vec(),
        received_at: at(second),
        state: DeliveryState::New,
        note: None,
    }
}

fn ids(rows: &[DeliveryRow]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

fn change(subject: &str) -> AuditRow {
    AuditRow {
        seq: 0,
        at: at(1),
        principal: "ann".to_owned(),
        action: "run.cancel".to_owned(),
        subject: subject.to_owned(),
        repo: None,
        detail: json!({}),
    }
}

/// The subjects of the rows behind a number, which becomes that of the last.
async fn follow(store: &Store, after: &mut u64) -> Vec<String> {
    let mut taken = Vec::new();
    loop {
        let page = store.audit().after(*after, 7).await.unwrap();
        let Some(last) = page.last() else { return taken };
        *after = last.seq;
        taken.extend(page.into_iter().map(|row| row.subject));
    }
}

on_each_store! {
    async fn who_follows_the_audit_trail_while_many_write_gets_every_row_once(world) {
        let stores = [world.store.clone(), world.another().await];
        let rows: Vec<_> = (0..60).map(|n| change(&format!("{n:02}"))).collect();
        let written = rows.iter().enumerate().map(|(n, row)| stores[n % 2].audit().add(row));
        let is_over = Cell::new(false);
        let (mut after, mut taken) = (0, Vec::new());
        let write = async {
            for written in futures::future::join_all(written).await {
                written.unwrap();
            }
            is_over.set(true);
        };
        let read = async {
            while !is_over.get() {
                taken.extend(follow(&world.store, &mut after).await);
                tokio::task::yield_now().await;
            }
            taken.extend(follow(&world.store, &mut after).await);
        };
        futures::join!(write, read);
        taken.sort();
        assert_eq!(taken, rows.iter().map(|row| row.subject.clone()).collect::<Vec<_>>());
    }

    async fn a_long_journal_is_read_in_pages_without_a_gap(world) {
        let run = world.created("r1").await;
        world.queued("r2", "a2").await;
        let mut long = commit(&run, 1, RunStatus::Running);
        long.facts = vec![Fact::RunStarted; 1_203];
        world.store.runs().commit(long).await.unwrap().unwrap();
        let (mut seen, mut pages) = (Vec::new(), Vec::new());
        loop {
            let after = seen.last().copied().unwrap_or(0);
            let page = world.store.journal().after(&run, after, u32::MAX).await.unwrap();
            if page.is_empty() {
                break;
            }
            pages.push(page.len());
            seen.extend(page.iter().map(|row| row.seq));
        }
        assert_eq!(pages, [1_000, 204]);
        assert_eq!(seen, (1..=1_204).collect::<Vec<u64>>());
    }

    async fn a_page_of_a_journal_has_its_facts_and_times_and_no_others(world) {
        let run = world.queued("r1", "a1").await;
        let all = world.store.journal().after(&run, 0, 10).await.unwrap();
        assert_eq!(all.len(), 2);
        assert!(matches!(all[0].fact, Fact::RunCreated { .. }) && all[0].seq == 1);
        assert!(matches!(&all[1].fact, Fact::AttemptQueued { number: 1, .. }) && all[1].at == at(6));
        assert_eq!(world.store.journal().after(&run, 1, 10).await.unwrap(), all[1..]);
        assert_eq!(world.store.journal().after(&run, 0, 1).await.unwrap(), all[..1]);
        for (run, after, limit) in [("r1", 0, 0), ("r1", 2, 9), ("r1", u64::MAX, 9), ("r", 0, 9)] {
            let none = world.store.journal().after(&RunId::new(run), after, limit).await.unwrap();
            assert_eq!(none, [], "{run} {after} {limit}");
        }
    }

    async fn a_long_audit_trail_is_read_in_pages_without_a_gap(world) {
        let row = AuditRow {
            seq: 0,
            at: at(1),
            principal: "ann".to_owned(),
            action: "secret.set".to_owned(),
            subject: "wörld'".to_owned(),
            repo: Some("a/b".to_owned()),
            detail: json!({"scope": "a/b"}),
        };
        world.store.audit().add(&row).await.unwrap();
        let _filled = world.sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) \
             INSERT INTO audit (at, principal, action, subject, repo, detail) \
             SELECT at, principal, action, subject || i, repo, detail FROM audit, n",
        );
        let first = world.store.audit().after(0, u32::MAX).await.unwrap();
        assert_eq!(first.len(), 1_000);
        assert_eq!(AuditRow { seq: 0, ..first[0].clone() }, row);
        let rest = world.store.audit().after(first[999].seq, u32::MAX).await.unwrap();
        assert_eq!(rest.len(), 101);
        let mut all: Vec<_> = first.iter().chain(&rest).map(|row| row.seq).collect();
        assert!(all.is_sorted());
        all.dedup();
        assert_eq!(all.len(), 1_101);
        assert_eq!(world.store.audit().after(rest[100].seq, 5).await.unwrap(), []);
        assert_eq!(world.store.audit().after(u64::MAX, 5).await.unwrap(), []);
    }

    async fn deliveries_wait_in_the_order_in_which_they_came(world) {
        for (id, second) in [("third", 3), ("first", 1), ("second", 2)] {
            assert!(world.store.deliveries().receive(delivery("main", id, second)).await.unwrap());
        }
        let waiting = world.store.deliveries().unprocessed(2).await.unwrap();
        assert_eq!(ids(&waiting), ["first", "second"]);
        let state = DeliveryState::Failed;
        world.store.deliveries().settle_one(&waiting[0], state, "no such file").await.unwrap();
        assert_eq!(ids(&world.store.deliveries().unprocessed(9).await.unwrap()), ["second", "third"]);
        let kept = world.store.deliveries().get("github", "main", "first").await.unwrap().unwrap();
        assert_eq!((kept.state, kept.body.as_slice()), (state, b"first".as_slice()));
    }

    async fn to_settle_a_delivery_changes_no_other_of_the_same_number(world) {
        for hook in ["one", "two"] {
            assert!(world.store.deliveries().receive(delivery(hook, "7", 1)).await.unwrap());
        }
        let settled = delivery("one", "7", 1);
        world.store.deliveries().settle_one(&settled, DeliveryState::Done, "r1").await.unwrap();
        assert_eq!(world.store.deliveries().unprocessed(9).await.unwrap(), [delivery("two", "7", 1)]);
        let unknown = delivery("three", "7", 1);
        world.store.deliveries().settle_one(&unknown, DeliveryState::Done, "r1").await.unwrap();
        assert_eq!(world.store.deliveries().get("github", "three", "7").await.unwrap(), None);
        assert_eq!(world.store.deliveries().get("gitlab", "one", "7").await.unwrap(), None);
    }
}

mod postgres_only {
    use sqlx::{Connection as _, PgConnection};

    use super::*;
    use crate::support::World;

    /// A transaction that has its number and is slow to commit.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_audit_row_with_a_lower_number_never_comes_after_one_with_a_higher_number() {
        let world = World::postgres().await;
        let mut connection = PgConnection::connect(&world.options().url).await.unwrap();
        let mut slow = connection.begin().await.unwrap();
        let insert = "INSERT INTO audit (at, principal, action, subject, repo, detail) \
                      VALUES (0, 'ann', 'run.cancel', 'slow', NULL, '{}')";
        sqlx::query(insert).execute(&mut *slow).await.unwrap();
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE relation = 'audit'::regclass AND NOT granted";
        let row = change("quick");
        let mut quick = Box::pin(world.store.audit().add(&row));
        let mut is_written = false;
        // It is written before the slow one, or waits for it.
        while !is_written && world.sql(waiting).trim() == "0" {
            is_written = futures::poll!(quick.as_mut()).is_ready();
        }
        let mut after = 0;
        let mut taken = follow(&world.store, &mut after).await;
        slow.commit().await.unwrap();
        if !is_written {
            quick.await.unwrap();
        }
        taken.extend(follow(&world.store, &mut after).await);
        assert_eq!(taken, ["slow", "quick"]);
    }
}
