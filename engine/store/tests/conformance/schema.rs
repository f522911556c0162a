//! The two schemas are one: the same tables, columns and indexes; only types differ.

mod postgres {
    use plue_store::{Error, SCHEMA_VERSION, Store};

    use crate::support::World;

    fn lines(text: &str) -> Vec<String> {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[tokio::test]
    async fn both_databases_have_the_same_columns() {
        let (one, two) = (World::sqlite().await, World::postgres().await);
        let sqlite = one.sql(
            "SELECT m.name || '.' || c.name || CASE c.\"notnull\" WHEN 1 THEN '' ELSE '?' END \
             FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'fence'",
        );
        let postgres = two.sql(
            "SELECT table_name || '.' || column_name || \
             CASE is_nullable WHEN 'NO' THEN '' ELSE '?' END \
             FROM information_schema.columns WHERE table_schema = 'public'",
        );
        // SQLite lets go of NOT NULL where a rowid makes it needless.
        let sqlite: Vec<_> =
            lines(&sqlite).iter().map(|line| line.replace("x.id?", "x.id")).collect();
        assert_eq!(sqlite, lines(&postgres));
        assert!(sqlite.len() > 80, "{}", sqlite.len());
    }

    #[tokio::test]
    async fn both_databases_have_the_same_indexes() {
        let (one, two) = (World::sqlite().await, World::postgres().await);
        let sqlite = one.sql(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite_%'",
        );
        let postgres = two.sql(
            "SELECT indexname FROM pg_indexes \
             WHERE schemaname = 'public' AND indexname NOT LIKE '%_pkey'",
        );
        assert_eq!(lines(&sqlite), lines(&postgres));
    }

    #[tokio::test]
    async fn a_server_of_a_newer_plue_is_refused() {
        let world = World::postgres().await;
        let newer = SCHEMA_VERSION + 3;
        let _done = world.sql(&format!("INSERT INTO plue_schema VALUES ({newer}, 'later', 0)"));
        let error = Store::open(world.options()).await.expect_err("it is newer");
        let Error::NewerDatabase { found, .. } = error else { panic!("{error:?}") };
        assert_eq!(found, newer);
    }

    #[tokio::test]
    async fn engines_that_start_together_migrate_once() {
        let world = World::postgres().await;
        let _empty = world.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        let opens = (0..4).map(|_| Store::open(world.options()));
        for store in futures::future::join_all(opens).await {
            assert!(store.unwrap().runs().unfinished().await.unwrap().is_empty());
        }
        let count = world.sql("SELECT max(version) FROM plue_schema");
        assert_eq!(count.trim(), SCHEMA_VERSION.to_string());
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_without_its_password() {
        let options = plue_store::StoreOptions::new("postgres://u:geheim@127.0.0.1:1/none");
        let error = Store::open(options).await.expect_err("nothing listens there");
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        let message = error.diagnostic().message;
        assert!(message.contains("127.0.0.1:1") && !message.contains("geheim"), "{message}");
    }

    #[tokio::test]
    async fn an_empty_server_stays_empty_if_nothing_may_be_made() {
        let world = World::postgres().await;
        let _empty = world.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        let error = Store::open(world.options().existing()).await.expect_err("it is empty");
        assert!(matches!(error, Error::Missing(_)), "{error:?}");
        assert_eq!(
            world.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").trim(),
            "0"
        );
    }
}

mod sqlite {
    use plue_store::{SCHEMA_VERSION, Store};

    use crate::support::World;

    /// The last migration that was applied to a file.
    fn rows(file: &std::path::Path) -> String {
        let count = "SELECT max(version) FROM plue_schema";
        let output = std::process::Command::new("sqlite3").arg(file).arg(count).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    }

    #[tokio::test]
    async fn stores_that_open_a_new_file_together_migrate_once() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let options = plue_store::StoreOptions::sqlite(&directory.path().join("plue.db"));
            let opens = (0..6).map(|_| Store::open(options.clone()));
            for store in futures::future::join_all(opens).await {
                assert!(store.unwrap().runs().unfinished().await.unwrap().is_empty());
            }
            let count = rows(&directory.path().join("plue.db"));
            assert_eq!(count, SCHEMA_VERSION.to_string());
        }
    }

    #[tokio::test]
    async fn full_durability_is_asked_of_the_file() {
        let world = World::sqlite().await;
        let full = Store::open(world.options().durability(plue_store::Durability::Full));
        let run = world.created("r1").await;
        assert!(full.await.unwrap().runs().get(&run).await.unwrap().is_some());
        assert_eq!(world.sql("PRAGMA journal_mode").trim(), "wal");
        assert_eq!(world.sql("PRAGMA integrity_check").trim(), "ok");
        assert_eq!(world.sql("PRAGMA foreign_key_check").trim(), "");
    }
}
