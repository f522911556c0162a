//! Records of attempts: only from the holder, once, and found again.

use jiff::Timestamp;
use plue_flow::{Fact, fact::Outcome};
use plue_store::{CacheFound, CheckpointKind, NewRecord, Recorded};
use plue_wire::{
    outputs::{ArtifactFile, BlobHash, CheckpointRecord, Record},
    runner::Claim,
};
use serde_json::json;

use crate::support::{World, at, stale, success};

async fn keep(world: &World, claim: &Claim, record: Record) -> Recorded {
    keep_in(world, claim, record, "s", at(1)).await
}

async fn keep_in(
    world: &World,
    claim: &Claim,
    record: Record,
    scope: &str,
    at: Timestamp,
) -> Recorded {
    let record = NewRecord { claim: claim.clone(), record, scope: scope.to_owned(), at };
    world.store.outputs().record(record).await.unwrap()
}

fn cache(key: &str, archive: BlobHash, bytes: u64) -> Record {
    Record::Cache { key: key.to_owned(), archive, bytes, files: 1 }
}

fn scopes(list: &[&str]) -> Vec<String> {
    list.iter().map(|scope| (*scope).to_owned()).collect()
}

on_each_store! {
    async fn a_record_of_a_stale_claim_is_refused(world) {
        let claim = world.started("r1", "a1").await;
        let note = || Record::Note("said".to_owned());
        assert_eq!(keep(&world, &stale(&claim), note()).await, Recorded::Stale);
        assert!(world.store.outputs().notes(&plue_plan::RunId::new("r1")).await.unwrap().is_empty());
        for _ in 0..2 {
            assert_eq!(keep(&world, &claim, note()).await, Recorded::Yes);
        }
        let notes = world.store.outputs().notes(&plue_plan::RunId::new("r1")).await.unwrap();
        assert_eq!((notes.len(), notes[0].text.as_str()), (1, "said"));
        world.end(&plue_plan::RunId::new("r1"), 2, success(&claim, 2)).await.unwrap();
        assert_eq!(keep(&world, &claim, note()).await, Recorded::Stale);
    }

    async fn artifacts_are_recorded_once(world) {
        let claim = world.started("r1", "a1").await;
        let blob = world.store.blobs().put(b"x").await.unwrap();
        let kept = |path: &str| ArtifactFile { path: path.to_owned(), blob, bytes: 1, executable: true };
        for _ in 0..2 {
            let record = Record::Artifacts(vec![kept("b"), kept("a")]);
            assert_eq!(keep(&world, &claim, record).await, Recorded::Yes);
        }
        let rows = world.store.artifacts().list(&plue_plan::RunId::new("r1")).await.unwrap();
        let paths: Vec<_> = rows.iter().map(|row| row.path.as_str()).collect();
        assert_eq!(paths, ["a", "b"]);
        assert!(rows.iter().all(|row| row.executable && row.attempt == claim.attempt));
    }

    async fn checkpoints_are_numbered_and_sent_twice_count_once(world) {
        let claim = world.started("r1", "a1").await;
        let record = |note: Option<&str>| Record::Checkpoint(CheckpointRecord {
            steps: vec!["build".into()],
            changes: note.is_none().then_some(BlobHash([1; 32])),
            files: 3, bytes: 4, note: note.map(str::to_owned),
        });
        for _ in 0..2 {
            assert_eq!(keep(&world, &claim, record(None)).await, Recorded::Yes);
        }
        world.store.checkpoints().put_restored(&plue_plan::RunId::new("r1"), BlobHash([2; 32]), 1).await.unwrap();
        let other = world.started("r2", "a2").await;
        assert_eq!(keep(&world, &other, record(Some("too large"))).await, Recorded::Yes);
        let rows = world.store.checkpoints().list(&plue_plan::RunId::new("r1")).await.unwrap();
        let kinds: Vec<_> = rows.iter().map(|row| (row.seq, row.kind)).collect();
        assert_eq!(kinds, [(1, CheckpointKind::Step), (2, CheckpointKind::Restored)]);
        let rows = world.store.checkpoints().list(&plue_plan::RunId::new("r2")).await.unwrap();
        assert_eq!(rows[0].kind, CheckpointKind::Skipped);
        assert_eq!(rows[0].note.as_deref(), Some("too large"));
    }

    async fn row_2_25_a_cache_is_found_by_key_then_by_the_newest_of_a_prefix(world) {
        let claim = world.started("r1", "a1").await;
        let blob = |n: u8| BlobHash([n; 32]);
        for (second, (key, n)) in [("npm-1%", 1), ("npm-2", 2), ("npm_3", 3), ("x", 4)].iter().enumerate() {
            let at = at(i64::try_from(second).unwrap());
            keep_in(&world, &claim, cache(key, blob(*n), 10), "s", at).await;
        }
        // A key that is there stays what it is.
        keep(&world, &claim, cache("x", blob(9), 10)).await;
        let find = async |key: &str, prefixes: &[&str]| {
            world.store.caches().find(&scopes(&["s"]), key, &scopes(prefixes)).await.unwrap()
        };
        let CacheFound::Exact(row) = find("x", &[]).await else { panic!() };
        assert_eq!(row.archive, Some(blob(4)));
        let CacheFound::Prefix(prefix, row) = find("npm-9", &["zz", "npm-", "x"]).await else { panic!() };
        assert_eq!((prefix.as_str(), row.key.as_str()), ("npm-", "npm-2"));
        let CacheFound::Prefix(_, row) = find("q", &["npm-1%"]).await else { panic!() };
        assert_eq!(row.key, "npm-1%", "a key's characters are no wildcards");
        assert_eq!(find("npm-9", &["y"]).await, CacheFound::Nothing);
    }

    async fn row_2_25_what_strangers_fill_the_trusted_do_not_read(world) {
        let claim = world.started("r1", "a1").await;
        keep_in(&world, &claim, cache("k", BlobHash([6; 32]), 1), "pr", at(1)).await;
        let trusted = world.store.caches().find(&scopes(&["main"]), "k", &scopes(&["k"])).await.unwrap();
        assert_eq!(trusted, CacheFound::Nothing);
        keep_in(&world, &claim, cache("k", BlobHash([7; 32]), 1), "main", at(1)).await;
        let both = scopes(&["main", "pr"]);
        let CacheFound::Exact(row) = world.store.caches().find(&both, "k", &[]).await.unwrap() else { panic!() };
        assert_eq!(row.archive, Some(BlobHash([7; 32])), "the trusted one first");
    }

    async fn row_2_25_the_longest_unused_go_when_the_quota_is_used_up(world) {
        let claim = world.started("r1", "a1").await;
        for (key, n) in [("old", 1), ("used", 2), ("new", 3)] {
            let record = cache(key, BlobHash([n; 32]), 40);
            keep_in(&world, &claim, record, "s", at(i64::from(n) - 1_000_000_000)).await;
        }
        world.store.caches().find(&scopes(&["s"]), "used", &[]).await.unwrap();
        let long_ago = at(-1_500_000_000);
        assert_eq!(world.store.caches().evict(100, long_ago).await.unwrap(), 1);
        let found = world.store.caches().find(&scopes(&["s"]), "old", &[]).await.unwrap();
        let CacheFound::Evicted(row) = found else { panic!("{found:?}") };
        let (_, why) = row.evicted.unwrap();
        assert!(why.contains("quota"), "{why}");
        assert_eq!(world.store.caches().evict(100, at(-999_999_990)).await.unwrap(), 1);
        let left = world.store.caches().list().await.unwrap();
        let left: Vec<_> = left.iter().filter(|row| row.archive.is_some()).collect();
        assert!(left.len() == 1 && left[0].key == "used", "{left:?}");
        // Filled again, it is there again.
        keep(&world, &claim, cache("old", BlobHash([8; 32]), 1)).await;
        let again = world.store.caches().find(&scopes(&["s"]), "old", &[]).await.unwrap();
        assert!(matches!(again, CacheFound::Exact(row) if row.evicted.is_none()));
    }

    async fn a_pure_result_counts_once_its_attempt_has_succeeded(world) {
        let claim = world.started("r1", "a1").await;
        let (key, store) = (BlobHash([3; 32]), &world.store);
        let blob = store.blobs().put(b"made").await.unwrap();
        let file = ArtifactFile { path: "out".to_owned(), blob, bytes: 4, executable: false };
        keep(&world, &claim, Record::Artifacts(vec![file])).await;
        assert_eq!(keep(&world, &claim, Record::Pure(key)).await, Recorded::Yes);
        assert_eq!(store.caches().find_pure(&scopes(&["s"]), &key).await.unwrap(), None, "it runs");
        let mut commit = crate::support::commit(&plue_plan::RunId::new("r1"), 2, plue_flow::RunStatus::Success);
        commit.facts.push(Fact::AttemptEnded {
            step: "build".into(),
            attempt: claim.attempt.clone(),
            outcome: Outcome::Success,
            output: json!({"n": 5}),
            event: None,
        });
        commit.ends.push(success(&claim, 2));
        store.runs().commit(commit).await.unwrap().unwrap();
        let found = store.caches().find_pure(&scopes(&["t", "s"]), &key).await.unwrap().unwrap();
        assert_eq!((found.output, found.artifacts.len()), (json!({"n": 5}), 1));
        assert_eq!(store.caches().find_pure(&scopes(&["t"]), &key).await.unwrap(), None);
        let future = at(1_000);
        store.artifacts().expire(future).await.unwrap();
        assert_eq!(store.caches().find_pure(&scopes(&["s"]), &key).await.unwrap(), None, "a file is gone");
    }
}
