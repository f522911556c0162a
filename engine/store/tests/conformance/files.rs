//! What only SQLite has: files that cannot be used, and processes that share one.

mod sqlite {
    use std::{
        fs,
        io::{BufRead as _, BufReader, Write as _},
        path::Path,
        process::{Command, Stdio},
    };

    use plue_flow::RunStatus;
    use plue_plan::RunId;
    use plue_store::{Error, SCHEMA_VERSION, Store, StoreOptions};

    use crate::support::{World, commit, queued_fact};

    async fn refusal(options: StoreOptions) -> Error {
        Store::open(options).await.expect_err("the database cannot be used")
    }

    #[tokio::test]
    async fn a_long_write_ahead_log_is_merged_when_asked_and_nothing_is_lost() {
        let world = World::sqlite().await;
        let StoreOptions { url, .. } = world.options();
        let log = format!("{}-wal", url.trim_start_matches("sqlite:"));
        let length = || fs::metadata(&log).unwrap().len();
        let entry = "x".repeat(100_000);
        for number in 0..30 {
            world.store.plans().put_evaluation(&format!("k{number}"), entry.clone()).await.unwrap();
        }
        assert!(length() > 1024 * 1024);
        world.store.tidy().await.unwrap();
        assert_eq!(length(), 0);
        assert_eq!(world.store.plans().evaluation("k7").await.unwrap(), Some(entry));
        world.store.plans().put_evaluation("next", "e".to_owned()).await.unwrap();
        let before = length();
        world.store.tidy().await.unwrap();
        assert_eq!(length(), before, "a short one is left alone");
    }

    #[tokio::test]
    async fn a_database_of_a_newer_plue_is_refused_and_not_touched() {
        let world = World::sqlite().await;
        let newer = SCHEMA_VERSION + 1;
        let _done = world.sql(&format!("INSERT INTO plue_schema VALUES ({newer}, 'later', 0)"));
        for options in [world.options(), world.options().read_only()] {
            let error = refusal(options).await;
            let Error::NewerDatabase { found, known } = error else { panic!("{error:?}") };
            assert_eq!((found, known), (newer, SCHEMA_VERSION));
        }
    }

    /// Another store is another process here: they share nothing but the file.
    #[tokio::test]
    async fn a_commit_of_another_process_wakes_whoever_watches_for_it() {
        let world = World::sqlite().await;
        let run = world.created("r1").await;
        let other = world.another().await;
        other.watch_others();
        let (mut any, mut told) = (other.changes(), other.changes_of(&run));
        any.mark_unchanged();
        told.mark_unchanged();
        let _seq =
            world.store.runs().commit(commit(&run, 1, RunStatus::Running)).await.unwrap().unwrap();
        // Without the watch these would wait for ever.
        told.changed().await.unwrap();
        any.changed().await.unwrap();
        other.close().await;
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_named_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plue.db");
        fs::write(&path, "hello, this is no database at all\n".repeat(100)).unwrap();
        let error = refusal(StoreOptions::sqlite(&path)).await;
        assert!(matches!(error, Error::NotADatabase(_)), "{error:?}");
        assert_eq!(error.diagnostic().code.as_str(), "PLUE-D0006");
    }

    #[tokio::test]
    async fn nothing_is_made_where_nothing_may_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plue.db");
        let options = StoreOptions::sqlite(&path);
        for options in [options.clone().existing(), options.read_only()] {
            assert!(matches!(refusal(options).await, Error::Missing(_)));
        }
        assert!(!path.exists());
        let error = refusal(StoreOptions::sqlite(&directory.path().join("no/such/plue.db"))).await;
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_store_opened_to_read_reads_and_refuses_to_write() {
        let world = World::sqlite().await;
        let run = world.queued("r1", "a1").await;
        let reader = Store::open(world.options().read_only()).await.unwrap();
        assert_eq!(reader.runs().get(&run).await.unwrap().unwrap().seq, 2);
        let error = reader.runs().commit(commit(&run, 2, RunStatus::Failed)).await.unwrap_err();
        assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_directory_that_takes_no_files_is_named() {
        // Not even root may make a file there.
        let error = refusal(StoreOptions::sqlite(Path::new("/proc/plue.db"))).await;
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.diagnostic().message.contains("/proc/plue.db"), "{error:?}");
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_with_advice_and_loses_nothing() {
        let world = World::sqlite().await;
        let run = world.created("r1").await;
        let mut options = world.options();
        options.max_bytes = Some(1024 * 1024);
        // SQLite answers alike when the file and when the disk may take no more.
        let full = Store::open(options).await.unwrap();
        let mut big = commit(&run, 1, RunStatus::Running);
        big.facts.push(queued_fact(&"x".repeat(2 * 1024 * 1024)));
        let error = full.runs().commit(big.clone()).await.unwrap_err();
        assert!(matches!(error, Error::DiskFull(_)), "{error:?}");
        assert_eq!(error.code().as_str(), "PLUE-D0003");
        let small = commit(&run, 1, RunStatus::Running);
        full.runs().commit(small).await.unwrap().unwrap();
        world.store.runs().commit(big).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn two_processes_write_to_one_file_and_lose_nothing() {
        let world = World::sqlite().await;
        let run = world.created("r1").await;
        let path = world.file().unwrap();
        let mut script = String::from(".timeout 10000\n.bail on\n");
        for n in 0..200 {
            script.push_str(&format!(
                "BEGIN IMMEDIATE; INSERT INTO outbox (topic, key, payload, created_at) \
                 VALUES ('t', '{n}', '', 0); COMMIT;\n"
            ));
        }
        let input = path.with_file_name("script.sql");
        fs::write(&input, script).unwrap();
        let mut other = Command::new("sqlite3")
            .arg(&path)
            .stdin(fs::File::open(&input).unwrap())
            .spawn()
            .expect("sqlite3 is installed");
        for seq in 0..200 {
            let mut next = commit(&run, 1 + seq, RunStatus::Running);
            next.facts.push(queued_fact("a"));
            world.store.runs().commit(next).await.unwrap().unwrap();
        }
        assert!(other.wait().unwrap().success());
        assert_eq!(world.sql("SELECT count(*) FROM outbox").trim(), "200");
        assert_eq!(world.store.runs().get(&RunId::new("r1")).await.unwrap().unwrap().seq, 201);
    }

    #[tokio::test]
    async fn a_commit_waits_for_another_process_that_writes() {
        let world = World::sqlite().await;
        let run = world.created("r1").await;
        let mut other = Command::new("sqlite3")
            .arg(world.file().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sqlite3 is installed");
        let mut tell = other.stdin.take().unwrap();
        let mut hear = BufReader::new(other.stdout.take().unwrap());
        let mut line = String::new();
        tell.write_all(b"BEGIN IMMEDIATE;\nSELECT 'locked';\n").unwrap();
        tell.flush().unwrap();
        hear.read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        let mut waits = Box::pin(world.store.runs().commit(commit(&run, 1, RunStatus::Running)));
        assert!(futures::poll!(waits.as_mut()).is_pending());
        let seen = world.store.runs().get(&run).await.unwrap().unwrap();
        assert_eq!(seen.view.status, RunStatus::Queued, "readers do not wait");
        tell.write_all(b"COMMIT;\n").unwrap();
        drop(tell);
        waits.await.unwrap().unwrap();
        assert!(other.wait().unwrap().success());
    }

    #[tokio::test]
    async fn what_was_asked_before_the_end_is_written_and_then_nothing() {
        let world = World::sqlite().await;
        let run = world.created("r1").await;
        let store = world.another().await;
        let late = store.clone();
        let write = store.runs().commit(commit(&run, 1, RunStatus::Running));
        write.await.unwrap().unwrap();
        drop(late);
        store.close().await;
        let seen = world.store.runs().get(&run).await.unwrap().unwrap();
        assert_eq!(seen.view.status, RunStatus::Running);
    }

    #[tokio::test]
    async fn a_reader_of_a_closed_store_is_told_so() {
        let world = World::sqlite().await;
        let run = world.created("r1").await;
        let reader = Store::open(world.options().read_only()).await.unwrap();
        let clone = reader.clone();
        reader.close().await;
        assert!(matches!(clone.runs().get(&run).await, Err(Error::Closed)));
    }
}
