//! Secrets when something is wrong: rows that were changed, keys that are missing, rotation that stops.

use plue_store::{
    Store,
    secret::{EVERYWHERE, Keyring, MAX_SECRETS, SecretError},
};

use crate::support::World;

/// A ring and three secrets of `/a` under it.
async fn three(world: &World) -> Keyring {
    let keys = Keyring::generate().unwrap();
    for name in ["A", "B", "C"] {
        world.store.secrets().put(&keys, "/a", name, name.as_bytes()).await.unwrap();
    }
    keys
}

async fn refused(store: &Store, keys: &Keyring, scope: &str, name: &str) -> SecretError {
    store.secrets().get(keys, scope, name).await.err().unwrap()
}

/// The names that stand under the first key of a ring.
async fn under(store: &Store, keys: &Keyring) -> Vec<String> {
    let rows = store.secrets().list(Some("/a")).await.unwrap();
    let rows = rows.into_iter().filter(|row| row.key_id == keys.first_id());
    rows.map(|row| row.name).collect()
}

on_each_store! {
    async fn a_row_under_another_name_or_scope_is_not_opened(world) {
        let keys = three(&world).await;
        let _moved = world.sql("UPDATE secret SET name = 'D' WHERE name = 'A'");
        let _moved = world.sql("UPDATE secret SET scope = '/b' WHERE name = 'B'");
        for (scope, name) in [("/a", "D"), ("/b", "B")] {
            let error = refused(&world.store, &keys, scope, name).await;
            assert!(matches!(&error, SecretError::Damaged { name: of } if of == name), "{error}");
        }
        assert_eq!(world.store.secrets().get(&keys, "/a", "C").await.unwrap().unwrap().as_slice(), b"C");
    }

    async fn a_row_with_parts_of_another_or_cut_off_is_not_opened(world) {
        let keys = three(&world).await;
        for change in [
            "wrapped = (SELECT wrapped FROM secret WHERE name = 'B')",
            "sealed = (SELECT sealed FROM secret WHERE name = 'B')",
            "sealed = substr(sealed, 1, 10)",
            "wrapped = substr(wrapped, 1, 0)",
        ] {
            world.store.secrets().put(&keys, "/a", "A", b"A").await.unwrap();
            assert!(world.store.secrets().get(&keys, "/a", "A").await.unwrap().is_some());
            let _damaged = world.sql(&format!("UPDATE secret SET {change} WHERE name = 'A'"));
            let error = refused(&world.store, &keys, "/a", "A").await;
            assert!(matches!(error, SecretError::Damaged { .. }), "{change}: {error}");
        }
    }

    async fn a_rotation_that_stopped_half_way_is_begun_again(world) {
        let old = three(&world).await;
        let both = old.with_new().unwrap();
        let _damaged = world.sql("UPDATE secret SET wrapped = substr(wrapped, 1, 9) WHERE name = 'B'");
        let error = world.store.secrets().rewrap(&both).await.err().unwrap();
        assert!(matches!(&error, SecretError::Damaged { name } if name == "B"), "{error}");
        assert_eq!(under(&world.store, &both).await, ["A"]);
        assert_eq!(under(&world.store, &old).await, ["B", "C"]);
        for name in ["A", "C"] {
            let text = world.store.secrets().get(&both, "/a", name).await.unwrap().unwrap();
            assert_eq!(text.as_slice(), name.as_bytes(), "all are read meanwhile");
        }
        world.store.secrets().put(&both, "/a", "B", b"new").await.unwrap();
        assert_eq!(world.store.secrets().rewrap(&both).await.unwrap(), 1);
        let new = both.only_first();
        assert_eq!(world.store.secrets().get(&new, "/a", "C").await.unwrap().unwrap().as_slice(), b"C");
        assert_eq!(world.store.secrets().get(&new, "/a", "B").await.unwrap().unwrap().as_slice(), b"new");
    }

    async fn a_rotation_without_the_old_key_names_the_secret_and_changes_nothing(world) {
        let old = three(&world).await;
        let stranger = Keyring::generate().unwrap();
        let error = world.store.secrets().rewrap(&stranger).await.err().unwrap();
        let SecretError::OtherKey { name, key_id } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), key_id.as_str()), ("A", old.first_id()));
        assert_eq!(under(&world.store, &old).await, ["A", "B", "C"]);
    }

    async fn two_rotations_at_once_leave_every_secret_readable(world) {
        let both = three(&world).await.with_new().unwrap();
        let there = world.another().await;
        let rotations = [world.store.secrets().rewrap(&both), there.secrets().rewrap(&both)];
        for done in futures::future::join_all(rotations).await {
            assert!(done.unwrap() <= 3);
        }
        let new = both.only_first();
        for name in ["A", "B", "C"] {
            let text = there.secrets().get(&new, "/a", name).await.unwrap().unwrap();
            assert_eq!(text.as_slice(), name.as_bytes());
        }
    }

    async fn a_full_scope_takes_no_new_name_but_new_texts(world) {
        let (store, keys) = (&world.store, Keyring::generate().unwrap());
        store.secrets().put(&keys, "/a", "S", b"x").await.unwrap();
        let _filled = world.sql(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
             INSERT INTO secret (scope, name, key_id, wrapped, sealed, created_at, updated_at) \
             SELECT scope, name || i, key_id, wrapped, sealed, created_at, updated_at \
             FROM secret, n",
            MAX_SECRETS - 1
        ));
        assert_eq!(store.secrets().list(Some("/a")).await.unwrap().len(), MAX_SECRETS);
        let error = store.secrets().put(&keys, "/a", "T", b"x").await.err().unwrap();
        assert!(matches!(error, SecretError::Limit(_)), "{error}");
        store.secrets().put(&keys, "/a", "S7", b"over").await.unwrap();
        store.secrets().put(&keys, EVERYWHERE, "T", b"x").await.unwrap();
        assert_eq!(store.secrets().get(&keys, "/a", "S7").await.unwrap().unwrap().as_slice(), b"over");
        assert!(store.secrets().forget("/a", "S9").await.unwrap());
        store.secrets().put(&keys, "/a", "T", b"x").await.unwrap();
    }

    async fn no_text_of_a_secret_is_in_the_database(world) {
        let (store, keys) = (&world.store, Keyring::generate().unwrap());
        store.secrets().put(&keys, "/a", "TOKEN", b"hunter2hunter2").await.unwrap();
        store.secrets().put(&keys, "/a", "AGAIN", b"hunter2hunter2").await.unwrap();
        let hex = if world.file().is_some() { "hex(sealed)" } else { "encode(sealed, 'hex')" };
        let rows = world.sql(&format!("SELECT lower({hex}) FROM secret"));
        assert_eq!(rows.lines().filter(|row| row.len() > 28).count(), 2);
        assert!(!rows.contains("68756e7465723268"), "{rows}");
        let different = world.sql("SELECT count(DISTINCT sealed) FROM secret");
        assert_eq!(different.trim(), "2", "equal texts do not look equal");
    }
}
