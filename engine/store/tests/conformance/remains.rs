//! What goes with time, and what stays: caches, artifacts, blobs, evaluations, and all that waits for a
//! run that is deleted.

use std::sync::Arc;

use jiff::Timestamp;
use plue_flow::{Decision, RunStatus};
use plue_plan::{AttemptId, RunId};
use plue_store::{
    CacheFound, CallbackAnswered, Collected, NewRecord, Recorded, TurnRequest, TurnState,
    blob::{BlobStore, Folder},
    plan::CachedPlans,
};
use plue_wire::{
    outputs::{ArtifactFile, BlobHash, Record},
    runner::Claim,
};
use serde_json::json;

use crate::support::{Aged, World, at, commit, plan};

/// Everything is old enough to go.
fn later() -> Timestamp {
    at(1_000_000_000)
}

async fn keep(world: &World, claim: &Claim, record: Record, second: i64) {
    let (claim, scope) = (claim.clone(), "s".to_owned());
    let record = NewRecord { claim, record, scope, at: at(second) };
    assert_eq!(world.store.outputs().record(record).await.unwrap(), Recorded::Yes);
}

fn artifact(path: &str, blob: BlobHash) -> Record {
    Record::Artifacts(vec![ArtifactFile {
        path: path.to_owned(),
        blob,
        bytes: 1,
        executable: false,
    }])
}

fn cache(key: &str, archive: BlobHash) -> Record {
    Record::Cache { key: key.to_owned(), archive, bytes: 10, files: 1 }
}

async fn find(world: &World, key: &str) -> CacheFound {
    world.store.caches().find(&["s".to_owned()], key, &[]).await.unwrap()
}

fn turn(run: &RunId, second: i64) -> TurnRequest {
    let (run, group) = (run.clone(), "deploy".to_owned());
    TurnRequest {
        run,
        group,
        at: at(second),
        seen_since: at(second - 60),
        driven: Vec::new(),
        left_behind: Vec::new(),
    }
}

on_each_store! {
    async fn files_that_no_row_names_are_swept_although_no_row_is_old(world) {
        let shelf = Arc::new(Aged(Folder::new(world.blobs())));
        let store = world.store.clone().with_blob_store(shelf.clone());
        let named = store.blobs().put(&[7; 100_000]).await.unwrap();
        // A command that was killed between the content and its row.
        let mut draft = shelf.draft().await.unwrap();
        draft.write(b"nobody knows me").await.unwrap();
        draft.finish("ab".repeat(32)).await.unwrap();
        let swept = store.blob_files().collect(at(-1_000_000_000)).await.unwrap();
        assert_eq!(swept, Collected { orphans: 1, ..Collected::default() });
        let kept = store.blobs().read(&named, 0, 9).await.unwrap();
        assert_eq!(kept, Some(vec![7; 9]));
        assert_eq!(shelf.older_than(3_600).await.unwrap().len(), 1);
    }

    async fn a_blob_stays_until_the_last_artifact_with_it_has_expired(world) {
        let claim = world.started("r1", "a1").await;
        let blob = world.store.blobs().put(b"shared").await.unwrap();
        keep(&world, &claim, artifact("old", blob), 1).await;
        keep(&world, &claim, artifact("young", blob), 100).await;
        assert_eq!(world.store.artifacts().expire(at(1)).await.unwrap(), 0, "not before its time");
        assert_eq!(world.store.artifacts().expire(at(50)).await.unwrap(), 1);
        assert_eq!(world.store.artifacts().expire(at(50)).await.unwrap(), 0, "counted once");
        assert_eq!(world.store.blob_files().collect(later()).await.unwrap().blobs, 0);
        let rows = world.store.artifacts().list(&RunId::new("r1")).await.unwrap();
        let gone: Vec<_> = rows.iter().map(|row| row.expired_at.is_some()).collect();
        assert_eq!(gone, [true, false]);
        assert_eq!(world.store.artifacts().expire(at(101)).await.unwrap(), 1);
        assert_eq!(world.store.blob_files().collect(later()).await.unwrap().blobs, 1);
    }

    async fn the_archive_of_a_cache_stays_until_its_entry_is_evicted(world) {
        let claim = world.started("r1", "a1").await;
        let archive = world.store.blobs().put(b"archive").await.unwrap();
        keep(&world, &claim, cache("k", archive), 1).await;
        assert_eq!(world.store.blob_files().collect(later()).await.unwrap().blobs, 0);
        assert_eq!(world.store.caches().evict(10, at(1)).await.unwrap(), 0, "just within the quota");
        assert_eq!(world.store.caches().evict(9, at(1)).await.unwrap(), 1);
        assert_eq!(world.store.blob_files().collect(later()).await.unwrap().blobs, 1);
        let found = find(&world, "k").await;
        assert!(matches!(found, CacheFound::Evicted(row) if row.archive.is_none()));
    }

    async fn an_evicted_entry_is_forgotten_after_a_month(world) {
        let claim = world.started("r1", "a1").await;
        for key in ["old", "young"] {
            keep(&world, &claim, cache(key, BlobHash([1; 32])), 1).await;
        }
        assert_eq!(world.store.caches().evict(0, at(0)).await.unwrap(), 2);
        let _aged = world.sql("UPDATE cache_entry SET evicted_at = 5 WHERE key = 'old'");
        assert_eq!(world.store.caches().evict(0, at(0)).await.unwrap(), 0);
        assert_eq!(find(&world, "old").await, CacheFound::Nothing);
        assert!(matches!(find(&world, "young").await, CacheFound::Evicted(_)));
    }

    async fn more_entries_than_one_transaction_takes_are_evicted(world) {
        let claim = world.started("r1", "a1").await;
        keep(&world, &claim, cache("k", BlobHash([1; 32])), 1).await;
        let _filled = world.sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) \
             INSERT INTO cache_entry (scope, key, archive, size, files, run_id, step_id, \
             created_at, used_at) SELECT scope, key || i, archive, size, files, run_id, step_id, \
             created_at, used_at - i FROM cache_entry, n",
        );
        assert_eq!(world.store.caches().evict(30, at(-1)).await.unwrap(), 1_098);
        let left = world.store.caches().list().await.unwrap();
        let left = left.iter().filter(|row| row.archive.is_some()).map(|row| row.key.as_str());
        assert_eq!(left.collect::<Vec<_>>(), ["k", "k1", "k2"], "used last");
    }

    async fn a_file_that_no_row_names_goes_once_it_is_old(world) {
        let claim = world.started("r1", "a1").await;
        let blob = world.store.blobs().put(b"asked for").await.unwrap();
        keep(&world, &claim, artifact("a", blob), 1).await;
        let named = world.store.blobs().put(&[8; 100_000]).await.unwrap();
        keep(&world, &claim, artifact("b", named), 1).await;
        let large = world.store.blobs().put(&[7; 100_000]).await.unwrap();
        let name = world.sql(&format!("SELECT file FROM blob WHERE hash = '{large}'"));
        let file = world.blobs().join(name.trim());
        let _lost = world.sql(&format!("DELETE FROM blob WHERE hash = '{large}'"));
        assert_eq!(world.store.blob_files().collect(later()).await.unwrap().orphans, 0);
        assert!(file.exists(), "its row may be on its way");
        let aged = world.store.clone().with_blob_store(Arc::new(Aged(Folder::new(world.blobs()))));
        assert_eq!(aged.blob_files().collect(later()).await.unwrap().orphans, 1);
        assert!(!file.exists());
        assert!(!world.store.blobs().read(&named, 0, 9).await.unwrap().unwrap().is_empty());
    }

    async fn an_evaluation_and_plans_of_one_key_replace_each_other(world) {
        let plans = CachedPlans { plans: vec![plan("a").hash], read_set: json!(["f"]) };
        world.store.plans().put_evaluation("k", "{\"v\": 1}".to_owned()).await.unwrap();
        world.store.plans().cache("k", &plans).await.unwrap();
        assert_eq!(world.store.plans().evaluation("k").await.unwrap(), None);
        world.store.plans().put_evaluation("k", "{\"v\": 2}".to_owned()).await.unwrap();
        let kept = world.another().await.plans().evaluation("k").await.unwrap();
        assert_eq!(kept.as_deref(), Some("{\"v\": 2}"));
        assert_eq!(world.sql("SELECT count(*) FROM plan_cache").trim(), "1");
    }

    async fn what_waits_for_a_deleted_run_goes_with_it(world) {
        let (gone, other) = (world.created("r1").await, world.created("r2").await);
        for run in [&gone, &other] {
            let (attempt, hash) = (AttemptId::new(format!("{run}:a")), format!("h-{run}"));
            let by = "ann".to_owned();
            let yes = Decision { by, approve: true, fields: serde_json::Map::new(), comment: None };
            assert!(world.store.decisions().record(run, &attempt, yes, at(1)).await.unwrap());
            world.store.callbacks().add(&hash, run, &attempt, at(9)).await.unwrap();
            world.store.groups().join(run, "deploy", at(1), at(1)).await.unwrap();
        }
        world.store.runs().commit(commit(&gone, 1, RunStatus::Success)).await.unwrap().unwrap();
        assert!(world.store.retention().delete_run(&gone).await.unwrap());
        assert_eq!(world.store.decisions().list(&gone).await.unwrap(), []);
        let late = world.store.callbacks().answer("h-r1", json!(1), at(2)).await.unwrap();
        assert_eq!(late, CallbackAnswered::Unknown);
        assert_eq!(world.store.groups().of_run(&gone).await.unwrap(), None);
        assert_eq!(world.store.decisions().list(&other).await.unwrap().len(), 1);
        let taken = CallbackAnswered::Taken { run: other.clone() };
        assert_eq!(world.store.callbacks().answer("h-r2", json!(1), at(2)).await.unwrap(), taken);
        let members = world.store.groups().members("deploy").await.unwrap();
        assert!(members.len() == 1 && members[0].run == other, "{members:?}");
    }

    async fn a_run_that_has_ended_has_no_turn_and_is_not_shown_in_its_group(world) {
        let (first, second) = (world.created("r1").await, world.created("r2").await);
        for run in [&first, &second] {
            world.store.groups().join(run, "deploy", at(1), at(1)).await.unwrap();
        }
        let mine = TurnState::Mine { from: Vec::new() };
        assert_eq!(world.store.groups().take_turn(turn(&first, 2)).await.unwrap(), mine);
        assert_eq!(world.store.groups().take_turn(turn(&second, 2)).await.unwrap(), TurnState::Behind(first.clone()));
        // Its engine went before it could leave.
        world.store.runs().commit(commit(&first, 1, RunStatus::Success)).await.unwrap().unwrap();
        assert_eq!(world.store.groups().take_turn(turn(&second, 3)).await.unwrap(), mine);
        let members = world.store.groups().members("deploy").await.unwrap();
        assert!(members.len() == 1 && members[0].turn_at == Some(at(3)), "{members:?}");
    }

    async fn a_run_that_has_the_turn_to_be_reopened_has_it_before_it_is_open(world) {
        let (first, second) = (world.created("r1").await, world.created("r2").await);
        let mut end = commit(&first, 1, RunStatus::Failed);
        end.view.ended_at = Some(at(1));
        world.store.runs().commit(end).await.unwrap().unwrap();
        for run in [&first, &second] {
            world.store.groups().join(run, "deploy", at(1), at(2)).await.unwrap();
        }
        let mine = TurnState::Mine { from: Vec::new() };
        assert_eq!(world.store.groups().take_turn(turn(&first, 2)).await.unwrap(), mine);
        let behind = TurnState::Behind(first.clone());
        assert_eq!(world.store.groups().take_turn(turn(&second, 3)).await.unwrap(), behind);
        // It is among those of which callers find out who drives them.
        let members = world.store.groups().members("deploy").await.unwrap();
        assert_eq!(members[0].run, first);
        let left = TurnRequest { left_behind: vec![first.clone()], ..turn(&second, 4) };
        let taken = TurnState::Mine { from: vec![first] };
        assert_eq!(world.store.groups().take_turn(left).await.unwrap(), taken);
    }

    async fn a_sign_of_life_keeps_the_turn_and_entering_again_keeps_the_place(world) {
        let (first, second) = (world.created("r1").await, world.created("r2").await);
        world.store.groups().join(&first, "deploy", at(1), at(1)).await.unwrap();
        world.store.groups().join(&second, "deploy", at(2), at(2)).await.unwrap();
        world.store.groups().join(&second, "deploy", at(0), at(2)).await.unwrap();
        let mine = TurnState::Mine { from: Vec::new() };
        assert_eq!(world.store.groups().take_turn(turn(&first, 3)).await.unwrap(), mine);
        world.store.groups().refresh(&first, at(90)).await.unwrap();
        let behind = TurnState::Behind(first.clone());
        assert_eq!(world.store.groups().take_turn(turn(&second, 100)).await.unwrap(), behind);
        let order = world.store.groups().members("deploy").await.unwrap();
        assert_eq!(order.iter().map(|member| &member.run).collect::<Vec<_>>(), [&first, &second]);
        let from = TurnState::Mine { from: vec![first] };
        assert_eq!(world.store.groups().take_turn(turn(&second, 151)).await.unwrap(), from);
    }
}
