//! An object store in the place of the folder of blobs, and logs that lie there.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use plue_plan::RunId;
use plue_store::{
    Collected, Error, LogRange, LogStream, Store,
    blob::{BlobStore, Bucket, INLINE_BYTES},
    portable,
    probe::{Call, Probe, Verdict, answer_lost, connection_lost},
};
use plue_testkit::objects::{ACCESS_KEY, Moment, Objects, SECRET_KEY};
use plue_wire::{outputs::BlobHash, runner::Claim};

use crate::support::{Aged, World, at, stdout, success};

/// More than one part of an upload.
const LARGE: usize = 20 * 1024 * 1024;

fn later() -> Timestamp {
    at(1_000_000_000)
}

fn content(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

async fn whole(store: &Store, blob: &BlobHash) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    let mut reader = store.blobs().reader(blob).await?.expect("it is there");
    while let Some(part) = reader.next(3_000_000).await? {
        all.extend(part);
    }
    Ok(all)
}

/// An ended attempt with a packed log of about 3 MB that does not compress well.
async fn logged(world: &World, run: &str) -> (Claim, Vec<u8>) {
    let claim = world.started(run, &format!("{run}-a")).await;
    let mut text = Vec::new();
    let events = (0..40_u64).map(|n| {
        let mut bytes = format!("of {run}\nline {n}\n").into_bytes();
        bytes.extend(content(60_000).into_iter().map(|byte| byte.rotate_left(n as u32 % 8)));
        bytes.push(b'\n');
        text.extend_from_slice(&bytes);
        stdout(&claim, n + 2, &bytes)
    });
    let events = events.collect();
    world.store.journal().append(vec![(claim.clone(), events)]).await.unwrap();
    world.end(&RunId::new(run), 2, success(&claim, 42)).await.unwrap();
    world.store.packed_logs().pack(&claim.attempt).await.unwrap();
    (claim, text)
}

/// Every way to read a log gives the same as before.
async fn reads_as(store: &Store, claim: &Claim, text: &[u8]) {
    let id = &claim.attempt;
    let bytes = |pieces: Vec<plue_store::LogPiece>| {
        let output = pieces.into_iter().filter(|piece| piece.stream == LogStream::Stdout);
        output.flat_map(|piece| piece.bytes).collect::<Vec<u8>>()
    };
    let read = async |range| bytes(store.logs().read(id, range).await.unwrap());
    assert!(read(LogRange::Bytes(0..u64::MAX)).await == text);
    assert!(read(LogRange::Bytes(1_000_000..1_000_017)).await == text[1_000_000..1_000_017]);
    assert!(read(LogRange::After(0, u64::MAX)).await == text);
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let stat = store.logs().stat(id).await.unwrap().unwrap();
    assert_eq!((stat.bytes, stat.lines), (text.len() as u64, lines.len() as u64));
    let some = lines.len() / 2;
    assert!(
        read(LogRange::Lines(some as u64..some as u64 + 2)).await == lines[some..some + 2].concat()
    );
    assert!(read(LogRange::Tail(2)).await == lines[lines.len() - 2..].concat());
    // Behind an event: what a stream sends that begins again.
    let pieces = store.logs().read(id, LogRange::After(20, u64::MAX)).await.unwrap();
    assert_eq!(pieces.first().map(|piece| piece.seq), Some(21));
    let hits = store.log_search().hits(id, b"line 33\n", 9).await.unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(&text[usize::try_from(hits[0].byte).unwrap()..][..8], b"line 33\n");
}

/// Lets the n-th write fail, before it is made or after it was committed.
#[derive(Debug)]
struct Nth {
    left: AtomicUsize,
    after: bool,
}

impl Nth {
    fn is_it(&self, call: Call) -> bool {
        call.writes && self.left.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

impl Probe for Nth {
    fn before(&self, call: Call) -> Verdict<'_> {
        let fails = !self.after && self.is_it(call);
        Box::pin(async move {
            if fails { Err(connection_lost()) } else { Ok(Box::new(()) as Box<dyn Any + Send>) }
        })
    }

    fn after(&self, call: Call) -> Verdict<'_> {
        let fails = self.after && self.is_it(call);
        Box::pin(async move {
            if fails { Err(answer_lost()) } else { Ok(Box::new(()) as Box<dyn Any + Send>) }
        })
    }
}

on_each_store! {
    async fn content_of_any_size_goes_to_a_bucket_and_comes_back(world) {
        let objects = Objects::start();
        let store = world.store.clone().with_blob_store(Arc::new(objects.bucket()));
        for size in [0, 1, INLINE_BYTES, INLINE_BYTES + 1, LARGE] {
            let bytes = content(size);
            let hash = store.blobs().put(&bytes).await.unwrap();
            assert_eq!(store.blobs().put(&bytes).await.unwrap(), hash);
            assert!(whole(&store, &hash).await.unwrap() == bytes, "{size}");
            let from = size as u64 / 2;
            let some = store.blobs().read(&hash, from, 9).await.unwrap().unwrap();
            assert!(some == bytes[size / 2..].iter().take(9).copied().collect::<Vec<_>>(), "{size}");
            let behind = store.blobs().read(&hash, size as u64, 9).await.unwrap();
            assert_eq!(behind, Some(Vec::new()), "{size}");
        }
        assert_eq!((objects.files().len(), objects.parts()), (2, 0), "{:?}", objects.files());
        assert_eq!(store.blob_files().collect(later()).await.unwrap().blobs, 5);
        assert_eq!(objects.files().len(), 0);
    }

    async fn content_that_was_changed_on_the_shelf_is_not_taken_for_the_real(world) {
        let objects = Objects::start();
        let store = world.store.clone().with_blob_store(Arc::new(objects.bucket()));
        let hash = store.blobs().put(&content(100_000)).await.unwrap();
        let file = objects.files().remove(0);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[70_000] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(matches!(whole(&store, &hash).await, Err(Error::Corrupt(_))));
    }

    async fn only_the_database_that_owns_a_bucket_sweeps_it_and_only_what_plue_made(world) {
        let objects = Objects::start();
        let own = || Arc::new(Aged(objects.bucket()));
        let store = world.store.clone().with_blob_store(own());
        let kept = store.blobs().put(&content(50_000)).await.unwrap();
        let early = at(-1_000_000_000);
        assert_eq!(store.blob_files().collect(early).await.unwrap(), Collected::default());
        let id = std::fs::read_to_string(objects.owner()).unwrap();
        assert_eq!(world.sql("SELECT id FROM place").trim(), id);
        let mut draft = own().draft().await.unwrap();
        draft.write(b"an orphan").await.unwrap();
        draft.finish("ab".repeat(32)).await.unwrap();
        let foreign = objects.owner().with_file_name("report.pdf");
        std::fs::write(&foreign, b"of somebody else").unwrap();
        // A fresh database, and what it has put there itself.
        let fresh = World::sqlite().await;
        let fresh = fresh.store.clone().with_blob_store(own());
        fresh.blobs().put(&content(60_000)).await.unwrap();
        assert_eq!(fresh.blob_files().collect(later()).await.unwrap(), Collected::default());
        assert_eq!(objects.files().len(), 4, "{:?}", objects.files());
        assert!(whole(&store, &kept).await.unwrap() == content(50_000));
        // To the owner what the other one has put there is an orphan too.
        assert_eq!(store.blob_files().collect(early).await.unwrap().orphans, 2);
        assert_eq!(store.blob_files().collect(later()).await.unwrap().blobs, 1);
        assert_eq!(objects.files(), [foreign]);
        assert_eq!(std::fs::read_to_string(objects.owner()).unwrap(), id);
    }

    async fn a_restored_copy_is_another_database_until_the_bucket_is_given_up(world) {
        let objects = Objects::start();
        let store = world.store.clone().with_blob_store(Arc::new(Aged(objects.bucket())));
        store.blobs().put(&content(50_000)).await.unwrap();
        store.blob_files().collect(at(-1_000_000_000)).await.unwrap();
        store.blob_files().forget_place().await.unwrap();
        assert_eq!(store.blob_files().collect(later()).await.unwrap(), Collected::default());
        assert_eq!(objects.files().len(), 1);
        std::fs::remove_file(objects.owner()).unwrap();
        assert_eq!(store.blob_files().collect(later()).await.unwrap().blobs, 1);
        assert_eq!(objects.files().len(), 0);
    }

    async fn of_several_that_sweep_a_new_bucket_at_once_one_owns_it(world) {
        let objects = Objects::start();
        let others = [World::sqlite().await, World::sqlite().await, World::sqlite().await];
        let stores = others.iter().chain([&world]);
        let swept = stores.clone().map(|world| {
            let store = world.store.clone().with_blob_store(Arc::new(objects.bucket()));
            async move { store.blob_files().collect(later()).await }
        });
        let swept = futures::future::join_all(swept).await;
        assert!(swept.iter().all(Result::is_ok), "{swept:?}");
        let id = std::fs::read_to_string(objects.owner()).unwrap();
        let owners = stores.filter(|world| world.sql("SELECT id FROM place").trim() == id);
        assert_eq!(owners.count(), 1);
    }

    async fn a_log_on_the_shelf_reads_as_one_in_the_database(world) {
        let objects = Objects::start();
        let store = world.store.clone().with_blob_store(Arc::new(objects.bucket()));
        let (claim, text) = logged(&world, "r1").await;
        let run = RunId::new("r1");
        let table = portable::table("log_chunk").unwrap();
        let before = store.archive().rows(table, &run, 0).await.unwrap();
        assert_eq!(store.packed_logs().not_offloaded(10).await.unwrap(), std::slice::from_ref(&claim.attempt));
        let moved = store.packed_logs().offload(&claim.attempt).await.unwrap();
        assert!(moved > 1_000_000, "{moved}");
        assert_eq!(store.packed_logs().not_offloaded(10).await.unwrap(), []);
        let left = world.sql("SELECT sum(length(data)) < 2000 FROM log_chunk");
        assert!(["1", "t"].contains(&left.trim()), "{left}");
        reads_as(&store, &claim, &text).await;
        assert_eq!(store.archive().rows(table, &run, 0).await.unwrap(), before);
        // Nothing that a log needs is swept; with its run it goes.
        assert_eq!(store.blob_files().collect(later()).await.unwrap().blobs, 0);
        reads_as(&store, &claim, &text).await;
        assert!(store.retention().delete_run(&run).await.unwrap());
        assert_eq!(store.blob_files().collect(later()).await.unwrap().blobs, 1);
        assert_eq!(objects.files().len(), 0);
    }

    async fn a_log_whose_move_was_cut_short_anywhere_is_whole_and_is_moved_later(world) {
        let objects = Objects::start();
        let plain = world.store.clone().with_blob_store(Arc::new(objects.bucket()));
        for after in [false, true] {
            for n in 1.. {
                let run = format!("r{n}{after}");
                let (claim, text) = logged(&world, &run).await;
                let probe = Arc::new(Nth { left: AtomicUsize::new(n), after });
                let ended = plain.clone().probed(probe).packed_logs().offload(&claim.attempt).await;
                reads_as(&plain, &claim, &text).await;
                if ended.is_ok() {
                    assert!(n > 4, "all writes were passed: {n}");
                    break;
                }
                plain.packed_logs().offload(&claim.attempt).await.unwrap();
                assert_eq!(plain.packed_logs().not_offloaded(10).await.unwrap(), []);
                reads_as(&plain, &claim, &text).await;
            }
        }
    }

    async fn a_log_stays_in_the_database_while_the_shelf_does_not_give_back_what_it_got(world) {
        let objects = Objects::start();
        let store = world.store.clone().with_blob_store(Arc::new(objects.bucket()));
        let (claim, text) = logged(&world, "r1").await;
        let (written, known) = (objects.files(), Arc::new(AtomicUsize::new(0)));
        assert_eq!(written.len(), 0);
        let seen = known.clone();
        // The first time it is read, it is not what was written.
        objects.watch(move |request| {
            let reads = request.moment == Moment::Before && request.method == "GET";
            !(reads && seen.fetch_add(1, Ordering::SeqCst) < 6)
        });
        assert!(matches!(store.packed_logs().offload(&claim.attempt).await, Err(Error::BlobStore(_))));
        objects.look_away();
        let file = objects.files().remove(0);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(store.packed_logs().offload(&claim.attempt).await.is_err());
        reads_as(&store, &claim, &text).await;
        std::fs::write(&file, &bytes).unwrap();
        assert!(store.packed_logs().offload(&claim.attempt).await.unwrap() > 0);
        reads_as(&store, &claim, &text).await;
        // From now on it is the only place: damage is told.
        std::fs::write(&file, &bytes[1..]).unwrap();
        let read = store.logs().read(&claim.attempt, LogRange::Bytes(0..u64::MAX)).await;
        assert!(matches!(read, Err(Error::Corrupt(_))), "{read:?}");
    }

    async fn what_is_printed_like_a_mark_is_no_mark(world) {
        let claim = world.started("r1", "a1").await;
        let text = b"plue shelf 1\nand more".to_vec();
        let events = vec![stdout(&claim, 2, &text)];
        world.store.journal().append(vec![(claim.clone(), events)]).await.unwrap();
        let pieces =
            world.store.logs().read(&claim.attempt, LogRange::Bytes(0..u64::MAX)).await.unwrap();
        assert_eq!(pieces[0].bytes, text);
    }

    async fn everything_on_one_shelf_is_copied_to_another(world) {
        let (from, to) = (Objects::start(), Objects::start());
        let store = world.store.clone().with_blob_store(Arc::new(from.bucket()));
        let (small, large) = (content(50_000), content(LARGE));
        let names = [store.blobs().put(&small).await.unwrap(), store.blobs().put(&large).await.unwrap()];
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(store.blob_files().copy_to(folder.path()).await.unwrap(), 2);
        let other = world.store.clone().with_blob_store(Arc::new(to.bucket()));
        assert_eq!(other.blob_files().place_from(folder.path()).await.unwrap(), 2);
        assert!(whole(&other, &names[0]).await.unwrap() == small);
        assert!(whole(&other, &names[1]).await.unwrap() == large);
    }
}

#[tokio::test]
async fn an_upload_that_was_given_up_leaves_nothing_for_long() {
    let objects = Objects::start();
    let bucket = objects.bucket();
    let mut draft = bucket.draft().await.unwrap();
    draft.write(&content(LARGE)).await.unwrap();
    assert_eq!((objects.parts(), objects.files().len()), (2, 1), "{:?}", objects.files());
    // As a killed process leaves it.
    std::mem::forget(draft);
    let left = bucket.older_than(0).await.unwrap();
    assert!(left.len() == 1 && left[0].starts_with("uploads/"), "{left:?}");
    assert_eq!(bucket.older_than(3_600).await.unwrap(), [] as [String; 0]);
    bucket.remove(&left[0]).await.unwrap();
    bucket.remove(&left[0]).await.unwrap();
    assert_eq!((objects.parts(), objects.files().len()), (0, 0));
}

#[tokio::test]
async fn the_note_of_an_upload_that_was_completed_is_removed_and_nothing_else() {
    let objects = Objects::start();
    let bucket = objects.bucket();
    objects.watch(|request| !(request.method == "DELETE" && request.moment == Moment::Before));
    let mut draft = bucket.draft().await.unwrap();
    let bytes = content(LARGE);
    draft.write(&bytes).await.unwrap();
    let name = draft.finish("ab".repeat(32)).await.unwrap();
    objects.look_away();
    let left = bucket.older_than(0).await.unwrap();
    assert_eq!(left.len(), 2, "{left:?}");
    let note = left.iter().find(|name| name.starts_with("uploads/")).unwrap();
    bucket.remove(note).await.unwrap();
    assert_eq!(bucket.older_than(0).await.unwrap(), std::slice::from_ref(&name));
    assert!(bucket.read(&name, 0, LARGE).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_no_key_is_told() {
    let objects = Objects::start();
    objects.bucket().check().await.unwrap();
    assert_eq!(objects.files().len(), 0);
    for keys in [(ACCESS_KEY, "another-text-of-a-key"), ("AKIANOBODY", SECRET_KEY)] {
        let mut options = objects.options();
        options.keys = Some((keys.0.to_owned(), keys.1.to_owned()));
        let bucket = Bucket::new(options).unwrap();
        let error = bucket.check().await.expect_err("it is refused");
        let said = format!("{error} {error:?}");
        assert!(!said.contains(keys.0) && !said.contains(keys.1), "{said}");
    }
}
