//! Writes on Postgres between whose look and whose statement somebody else was faster.

use std::sync::Arc;

use plue_flow::{AttemptStatus, Fact, RunStatus};
use plue_plan::{AttemptId, RunId, RunnerId};
use plue_runtime::Tasks;
use plue_store::{
    CallbackAnswered, Committed, DeliveryRow, DeliveryState, NewRecord, Received, Refused, RepoRow,
    RunCommit, Store, TokenRow, repo::identity::Recognised,
};
use plue_wire::{
    outputs::{BlobHash, Record},
    runner::{Claim, ResultVerdict},
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{World, assign, at, commit, engine, new_attempt, stdout, success};

/// A transaction that has changed its rows and holds them until another one waits for them.
async fn overtake(world: &Arc<World>, change: &str) -> JoinHandle<String> {
    overtake_late(world, change, "SELECT 1").await
}

/// The same; what it holds keeps others from writing, not from reading, and it makes its change only when
/// one of them waits to write.
async fn overtake_late(world: &Arc<World>, hold: &str, change: &str) -> JoinHandle<String> {
    let sql = format!(
        "/* holds */ {hold}; DO $$ BEGIN WHILE NOT EXISTS (SELECT 1 FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock') LOOP \
         PERFORM pg_stat_clear_snapshot(), pg_sleep(0.005); END LOOP; END $$; {change}"
    );
    let task = ask(world, sql);
    let holds = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND query LIKE '/* holds */%' AND wait_event = 'PgSleep'";
    while ask(world, holds.to_owned()).await.unwrap().trim() != "1" {}
    task
}

fn ask(world: &Arc<World>, sql: String) -> JoinHandle<String> {
    let world = Arc::clone(world);
    Tasks::new().spawn_blocking(move || world.sql(&sql))
}

/// A run that `e1` drives, with a step that runs, and the commit that ends it and gives the runner the
/// next attempt.
async fn running(world: &World) -> (RunId, Claim, RunCommit) {
    world.store.engines().start(engine("e1", 1, at(0))).await.unwrap();
    let claim = world.started("r1", "a1").await;
    let run = RunId::new("r1");
    let drive = world.store.drives().take(&run, "e1").await.unwrap().unwrap();
    let mut next = commit(&run, 2, RunStatus::Running);
    next.drive = Some(drive.fence);
    next.facts.push(Fact::RunStarted);
    next.ends.push(success(&claim, 2));
    next.attempts.push(new_attempt("a2"));
    next.assign_to = Some(assign("runner-of-a1", 1));
    (run, claim, next)
}

/// What a commit is told before which this was changed.
async fn told(change: &str) -> (Result<Committed, Refused>, Store, Claim, Arc<World>) {
    let world = Arc::new(World::postgres().await);
    let (_, claim, next) = running(&world).await;
    let faster = overtake(&world, change).await;
    let answer = world.store.runs().commit(next).await.unwrap();
    faster.await.unwrap();
    (answer, world.store.clone(), claim, world)
}

#[tokio::test]
async fn a_commit_that_is_overtaken_on_its_run_is_refused() {
    let (answer, store, claim, _world) = told("UPDATE run SET seq = seq + 1").await;
    assert_eq!(answer, Err(Refused::Stale { seq: 3 }));
    let attempt = store.attempts().get(&claim.attempt).await.unwrap().unwrap();
    assert_eq!(attempt.state, AttemptStatus::Running, "nothing of it is written");
    assert_eq!(store.attempts().list(&RunId::new("r1"), None).await.unwrap().len(), 1);
    let (answer, ..) = told("UPDATE run SET drive_fence = drive_fence + 1").await;
    assert_eq!(answer, Err(Refused::Superseded));
}

#[tokio::test]
async fn failure_case_03_a_result_that_is_overtaken_on_its_attempt_is_looked_at_again() {
    let verdict = |answer: Result<Committed, Refused>| match answer {
        Err(Refused::Result { verdict, .. }) => verdict,
        other => panic!("{other:?}"),
    };
    let (answer, ..) = told("UPDATE attempt SET fence = fence + 1").await;
    assert_eq!(verdict(answer), ResultVerdict::Fenced);
    let (answer, ..) = told("UPDATE attempt SET ack_seq = 3").await;
    assert_ne!(verdict(answer), ResultVerdict::Recorded);
    let (answer, ..) = told("UPDATE attempt SET state = 'lost'").await;
    assert_eq!(verdict(answer), ResultVerdict::Fenced);
}

#[tokio::test]
async fn a_runner_that_leaves_meanwhile_gets_nothing_and_the_commit_holds() {
    for change in [
        "UPDATE runner SET state = 'draining'",
        "UPDATE runner SET state = 'gone'",
        "UPDATE runner SET epoch = epoch + 1",
        "UPDATE runner SET group_key = 'r2'",
    ] {
        let (answer, store, _, _world) = told(change).await;
        assert_eq!(answer, Ok(Committed { seq: 3, assigned: Vec::new() }), "{change}");
        let attempts = store.attempts().list(&RunId::new("r1"), None).await.unwrap();
        let states: Vec<_> = attempts.iter().map(|attempt| attempt.state).collect();
        assert!(states.contains(&AttemptStatus::Queued), "{change}: {states:?}");
    }
}

#[tokio::test]
async fn events_of_a_session_that_a_newer_one_overtakes_are_not_stored() {
    let world = Arc::new(World::postgres().await);
    let (_, claim, _) = running(&world).await;
    let faster = overtake(&world, "UPDATE runner SET epoch = epoch + 1").await;
    let batch = vec![(claim.clone(), vec![stdout(&claim, 2, b"late\n")])];
    let session = (&RunnerId::new("runner-of-a1"), 1);
    let appended = world.store.journal().append_of(session, batch).await.unwrap();
    faster.await.unwrap();
    assert_eq!(appended[0].ack_seq, None);
    assert_eq!(world.sql("SELECT count(*) FROM log_chunk").trim(), "0");
}

#[tokio::test]
async fn a_run_that_is_taken_meanwhile_is_not_taken_again() {
    let world = Arc::new(World::postgres().await);
    world.store.engines().start(engine("e1", 1, at(0))).await.unwrap();
    world.store.engines().start(engine("e2", 2, at(0))).await.unwrap();
    let run = world.created("r1").await;
    let taken = "UPDATE run SET driver = 'e2', drive_fence = drive_fence + 1";
    let faster = overtake(&world, taken).await;
    assert_eq!(world.store.drives().take(&run, "e1").await.unwrap(), None);
    faster.await.unwrap();
    world.sql("UPDATE run SET driver = NULL");
    let buried = overtake(&world, "DELETE FROM engine WHERE id = 'e1'").await;
    assert_eq!(world.store.drives().take(&run, "e1").await.unwrap(), None);
    buried.await.unwrap();
    assert_eq!(world.store.drives().driver_of(&run).await.unwrap(), None);
}

#[tokio::test]
async fn a_run_is_not_made_for_an_engine_that_is_buried_meanwhile() {
    let world = Arc::new(World::postgres().await);
    world.store.engines().start(engine("e1", 1, at(0))).await.unwrap();
    let (new, first) = world.new_run("r1").await;
    let lock = "LOCK TABLE journal IN SHARE MODE";
    let buried = overtake_late(&world, lock, "DELETE FROM engine WHERE id = 'e1'").await;
    let answer = world.store.runs().create_driven(new, first, "e1").await.unwrap();
    buried.await.unwrap();
    assert_eq!(answer, Err(Refused::Superseded));
    assert!(world.store.runs().get(&RunId::new("r1")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_runner_that_is_given_up_meanwhile_is_not_bound() {
    let world = Arc::new(World::postgres().await);
    let (from, to) = (world.created("r1").await, world.created("r2").await);
    world.runner("n1", Some(&from)).await;
    let faster = overtake(&world, "UPDATE runner SET state = 'gone'").await;
    let runner = RunnerId::new("n1");
    assert!(!world.store.runners().bind(&runner, Some(&from), &to).await.unwrap());
    faster.await.unwrap();
}

#[tokio::test]
async fn numbers_that_somebody_else_takes_meanwhile_are_taken_anew() {
    let world = Arc::new(World::postgres().await);
    let run = world.created("r1").await;
    let taken = "INSERT INTO checkpoint (run_id, seq, kind, steps, files, bytes, at) \
                 VALUES ('r1', 1, 'skipped', '[]', 0, 0, 0)";
    let faster = overtake(&world, taken).await;
    world.store.checkpoints().put_restored(&run, BlobHash([2; 32]), 1).await.unwrap();
    faster.await.unwrap();
    let numbers = world.store.checkpoints().list(&run).await.unwrap();
    assert_eq!(numbers.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2]);
    // A conflict that persists after another read is returned as the error.
    let token = |id: &str| TokenRow {
        id: id.to_owned(),
        hash: "same".to_owned(),
        name: "deploys".to_owned(),
        role: "writer".to_owned(),
        repo: None,
        created_by: "ann".to_owned(),
        created_at: at(0),
        expires_at: None,
        used_at: None,
    };
    world.store.tokens().create(&token("t1")).await.unwrap();
    let error = world.store.tokens().create(&token("t2")).await.unwrap_err();
    assert!(error.diagnostic().message.contains("duplicate key"), "{error:?}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_delivery_that_somebody_works_on_again_meanwhile_is_left_to_him() {
    let world = Arc::new(World::postgres().await);
    let row = DeliveryRow {
        forge: "github".to_owned(),
        hook: "h".to_owned(),
        id: "one".to_owned(),
        headers: json!({}),
        body: Vec::new(),
        received_at: at(1),
        state: DeliveryState::New,
        note: None,
    };
    world.store.deliveries().receive(row.clone()).await.unwrap();
    world.store.deliveries().settle_one(&row, DeliveryState::Failed, "no").await.unwrap();
    let change = "UPDATE delivery SET state = 'new', taken_by = 'e1', begun = 1";
    let faster = overtake(&world, change).await;
    assert_eq!(world.store.deliveries().receive_signed(row, None).await.unwrap(), Received::Known);
    faster.await.unwrap();
    assert_eq!(world.sql("SELECT taken_by, begun FROM delivery").trim(), "e1|1");
}

#[tokio::test]
async fn a_cache_that_is_used_meanwhile_is_not_evicted() {
    let world = Arc::new(World::postgres().await);
    let claim = world.started("r1", "a1").await;
    let (key, archive) = ("k".to_owned(), BlobHash([1; 32]));
    let record = Record::Cache { key, archive, bytes: 10, files: 1 };
    let record = NewRecord { claim, record, scope: "s".to_owned(), at: at(1) };
    world.store.outputs().record(record).await.unwrap();
    let change = format!("UPDATE cache_entry SET used_at = {}", at(9).as_microsecond());
    let faster = overtake(&world, &change).await;
    world.store.caches().evict(100, at(5)).await.unwrap();
    faster.await.unwrap();
    assert_eq!(world.store.caches().list().await.unwrap()[0].archive, Some(archive));
}

#[tokio::test]
async fn a_repository_that_is_confirmed_meanwhile_is_the_same() {
    let world = Arc::new(World::postgres().await);
    world.store.repos().add(&repo()).await.unwrap();
    let see =
        async |id: &str| world.store.repos().recognise("a/b", id, "a/b", at(3)).await.unwrap();
    assert_eq!(see("1").await, Recognised::First);
    assert_eq!(see("2").await, Recognised::Other { known: "1".to_owned() });
    let change = "UPDATE repo_identity SET forge_id = '2', other_id = NULL, other_at = NULL";
    let faster = overtake(&world, change).await;
    assert_eq!(see("2").await, Recognised::Same);
    faster.await.unwrap();
    let known = world.store.repos().identity("a/b").await.unwrap().unwrap();
    assert_eq!(known.other_id, None);
}

fn repo() -> RepoRow {
    RepoRow {
        name: "a/b".to_owned(),
        forge: "github".to_owned(),
        url: "https://github.com/a/b".to_owned(),
        hook: "h".to_owned(),
        default_branch: "main".to_owned(),
        added_by: "ann".to_owned(),
        added_at: at(1),
    }
}

#[tokio::test]
async fn a_call_that_is_answered_meanwhile_by_another_token_is_not_answered_again() {
    let world = Arc::new(World::postgres().await);
    let (run, attempt) = (world.created("r1").await, AttemptId::new("r1:call:1:1"));
    for token in ["h1", "h2"] {
        world.store.callbacks().add(token, &run, &attempt, at(100)).await.unwrap();
    }
    let change = "UPDATE callback SET answered_at = 1, answer = '1' WHERE token_hash = 'h2'";
    // If the answer did not lock the other token's row, no session would wait for `faster`: the
    // timeout ends it then.
    let faster = overtake(&world, &format!("SET LOCAL statement_timeout = '5s'; {change}")).await;
    let answered = world.store.callbacks().answer("h1", json!(2), at(5)).await.unwrap();
    faster.await.unwrap();
    assert_eq!(answered, CallbackAnswered::Duplicate { run: run.clone() });
    assert_eq!(world.store.callbacks().answers(&run).await.unwrap(), [(attempt, json!(1))]);
}
