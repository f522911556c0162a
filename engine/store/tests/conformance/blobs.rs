//! Blobs: content by hash, once, whole, and gone when nothing refers to it.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use plue_store::{
    NewRecord, Recorded, Store,
    blob::{BlobStore as _, Folder, INLINE_BYTES},
};
use plue_wire::{
    eval::Bytes,
    outputs::{ArtifactFile, BlobHash, Change, Changes, CheckpointRecord, Entry, Record},
    runner::Claim,
};

use crate::support::{World, at};

/// Files under the folder of blobs.
fn files(world: &World) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![world.blobs()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Everything is old enough to go.
fn later() -> Timestamp {
    at(1_000_000_000)
}

async fn whole(store: &Store, hash: &BlobHash) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let part = store.blobs().read(hash, all.len() as u64, 100_000).await.unwrap()?;
        if part.is_empty() {
            return Some(all);
        }
        all.extend(part);
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

async fn keep(world: &World, claim: &Claim, record: Record) -> Recorded {
    let claim = claim.clone();
    world
        .store
        .outputs()
        .record(NewRecord { claim, record, scope: "s".to_owned(), at: at(1) })
        .await
        .unwrap()
}

fn file(path: &str, blob: BlobHash) -> ArtifactFile {
    ArtifactFile { path: path.to_owned(), blob, bytes: 1, executable: false }
}

on_each_store! {
    async fn any_size_comes_back_byte_for_byte_and_is_kept_once(world) {
        for size in [0, 1, INLINE_BYTES, INLINE_BYTES + 1, 3_000_000] {
            let bytes = content(size);
            let hash = world.store.blobs().put(&bytes).await.unwrap();
            let again = world.store.blobs().put(&bytes).await.unwrap();
            assert_eq!(hash, again);
            assert!(whole(&world.store, &hash).await.unwrap() == bytes, "{size}");
            let stat = world.store.blobs().stat(&hash).await.unwrap().unwrap();
            assert_eq!(stat.size, size as u64);
            let some = world.store.blobs().read(&hash, 5, 7).await.unwrap().unwrap();
            assert_eq!(some, bytes.iter().skip(5).take(7).copied().collect::<Vec<_>>());
        }
        assert_eq!(files(&world).len(), 2, "the small ones lie in the database");
        let unknown = BlobHash([7; 32]);
        assert_eq!(world.store.blobs().read(&unknown, 0, 1).await.unwrap(), None);
        assert_eq!(world.store.blobs().missing(&[unknown]).await.unwrap(), [unknown]);
    }

    async fn what_is_given_up_half_way_leaves_nothing(world) {
        let mut writer = world.store.blobs().writer();
        writer.write(&content(INLINE_BYTES * 4)).await.unwrap();
        assert_eq!(files(&world).len(), 1, "a draft");
        drop(writer);
        assert_eq!(files(&world), Vec::<PathBuf>::new());
    }

    async fn two_that_write_the_same_at_once_leave_one(world) {
        let bytes = content(200_000);
        let other = world.another().await;
        let (a, b) = tokio::join!(world.store.blobs().put(&bytes), other.blobs().put(&bytes));
        assert_eq!(a.unwrap(), b.unwrap());
        assert_eq!(files(&world).len(), 1);
    }

    async fn many_small_ones_go_in_one_call(world) {
        let contents: Vec<Vec<u8>> = (0..1_200_u32).map(|n| n.to_string().into_bytes()).collect();
        world.store.blobs().put_all(contents.clone()).await.unwrap();
        world.store.blobs().put_all(contents).await.unwrap();
        assert_eq!(world.sql("SELECT count(*) FROM blob").trim(), "1200");
    }

    async fn a_sweep_takes_what_nothing_refers_to_and_only_what_is_old(world) {
        let claim = world.started("r1", "a1").await;
        let store = &world.store;
        let lost = store.blobs().put(&content(100_000)).await.unwrap();
        let small = store.blobs().put(b"small and lost").await.unwrap();
        let kept = store.blobs().put(&content(90_000)).await.unwrap();
        assert_eq!(keep(&world, &claim, Record::Artifacts(vec![file("a", kept)])).await, Recorded::Yes);
        let before = store.blobs().put(b"the file before").await.unwrap();
        let entry = Entry::File { mode: 0o644, size: 15, hash: Some(before), kept: true };
        let change = Change { path: Bytes(b"f".to_vec()), before: Some(entry), after: None };
        let changes = Changes { version: Changes::VERSION, list: vec![change] };
        let changes = store.blobs().put(&changes.encode().unwrap()).await.unwrap();
        let record = CheckpointRecord {
            steps: vec!["build".into()], changes: Some(changes), files: 1, bytes: 0, note: None,
        };
        assert_eq!(keep(&world, &claim, Record::Checkpoint(record)).await, Recorded::Yes);

        let none = store.blob_files().collect(at(-1_000_000_000)).await.unwrap();
        assert_eq!(none, plue_store::Collected::default());
        let swept = store.blob_files().collect(later()).await.unwrap();
        assert_eq!((swept.blobs, swept.bytes), (2, 100_014));
        assert_eq!(store.blobs().missing(&[lost, small]).await.unwrap(), [lost, small]);
        assert_eq!(store.blobs().missing(&[kept, before, changes]).await.unwrap(), []);
        assert_eq!(files(&world).len(), 1);

        assert_eq!(store.artifacts().expire(later()).await.unwrap(), 1);
        assert_eq!(store.blob_files().collect(later()).await.unwrap().blobs, 1);
        let rows = store.artifacts().list(&plue_plan::RunId::new("r1")).await.unwrap();
        assert!(rows.len() == 1 && rows[0].expired_at.is_some(), "{rows:?}");
        world.end(&plue_plan::RunId::new("r1"), 2, crate::support::success(&claim, 2)).await.unwrap();
        assert!(store.retention().delete_run(&plue_plan::RunId::new("r1")).await.unwrap());
        assert_eq!(store.blob_files().collect(later()).await.unwrap().blobs, 2);
        assert_eq!(files(&world), Vec::<PathBuf>::new());
    }

    async fn a_question_for_a_blob_counts_as_a_use_long_before_the_most_impatient_sweep(world) {
        let store = &world.store;
        let blob = store.blobs().put(b"cached").await.unwrap();
        let now = plue_runtime::Clock::real().now();
        let ago = |minutes| now.checked_sub(SignedDuration::from_mins(minutes)).unwrap();
        world.sql(&format!("UPDATE blob SET used_at = {}", ago(30).as_microsecond()));
        assert_eq!(store.blobs().missing(&[blob]).await.unwrap(), []);
        assert_eq!(store.blob_files().collect(ago(20)).await.unwrap().blobs, 0);
        assert!(store.blobs().stat(&blob).await.unwrap().is_some());
    }

    async fn a_question_for_a_blob_keeps_it_from_the_sweep(world) {
        let hash = world.store.blobs().put(b"asked for").await.unwrap();
        let _aged = world.sql("UPDATE blob SET used_at = 5");
        assert_eq!(world.store.blobs().missing(&[hash]).await.unwrap(), []);
        assert_eq!(world.store.blob_files().collect(at(-100_000_000)).await.unwrap().blobs, 0);
        let _aged = world.sql("UPDATE blob SET used_at = 5");
        assert_eq!(world.store.blob_files().collect(at(-100_000_000)).await.unwrap().blobs, 1);
    }
}

#[tokio::test]
async fn a_shelf_reads_only_names_that_it_gave() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "x").unwrap();
    let shelf = Folder::new(folder.path().join("blobs"));
    for name in ["../secret", "/etc/passwd", "aa/../../secret", "", "aa//b", ".hidden"] {
        assert!(shelf.read(name, 0, 9).await.is_err(), "{name}");
        assert!(shelf.remove(name).await.is_err(), "{name}");
    }
    assert!(folder.path().join("secret").exists());
    let mut draft = shelf.draft().await.unwrap();
    draft.write(b"one ").await.unwrap();
    draft.write(b"two").await.unwrap();
    let name = draft.finish("ab".repeat(32)).await.unwrap();
    assert_eq!(shelf.read(&name, 2, 100).await.unwrap(), b"e two");
    assert_eq!(shelf.older_than(0).await.unwrap(), std::slice::from_ref(&name));
    assert_eq!(shelf.older_than(1_000).await.unwrap(), Vec::<String>::new());
    shelf.remove(&name).await.unwrap();
    shelf.remove(&name).await.unwrap();
    assert!(shelf.read(&name, 0, 9).await.is_err());
}
