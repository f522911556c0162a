//! Secrets: what is stored, who may read it, and what rotation leaves.

use plue_store::secret::{EVERYWHERE, Keyring, MAX_SECRET_BYTES, SecretError};

on_each_store! {
    async fn removed_repositories_take_their_secrets_with_them(world) {
        let (store, keys) = (&world.store, Keyring::generate().unwrap());
        for (scope, name) in [("repo:a/b", "DEPLOY"), ("hook:a/b", "WEBHOOK"), ("repo:a/c", "X")] {
            store.secrets().put(&keys, scope, name, b"text").await.unwrap();
        }
        let scopes = ["repo:a/b", "hook:a/b"].map(str::to_owned);
        store.repos().remove("a/b", &scopes).await.unwrap();
        let left = store.secrets().list(None).await.unwrap();
        assert_eq!(left.iter().map(|row| row.scope.as_str()).collect::<Vec<_>>(), ["repo:a/c"]);
    }

    async fn a_secret_is_read_in_its_scope_with_its_key_only(world) {
        let (store, keys) = (&world.store, Keyring::generate().unwrap());
        store.secrets().put(&keys, "/a", "TOKEN", b"one").await.unwrap();
        store.secrets().put(&keys, "/a", "TOKEN", b"two").await.unwrap();
        store.secrets().put(&keys, EVERYWHERE, "SHARED", &[0, 255]).await.unwrap();
        let read = async |scope, name| store.secrets().get(&keys, scope, name).await.unwrap();
        assert_eq!(read("/a", "TOKEN").await.unwrap().as_slice(), b"two");
        assert_eq!(read("", "SHARED").await.unwrap().as_slice(), [0, 255]);
        assert!(read("/b", "TOKEN").await.is_none() && read("", "TOKEN").await.is_none());
        let other = Keyring::generate().unwrap();
        let refused = store.secrets().get(&other, "/a", "TOKEN").await.err().unwrap();
        assert!(matches!(refused, SecretError::OtherKey { .. }), "{refused}");
        let rows = store.secrets().list(None).await.unwrap();
        let names: Vec<_> = rows.iter().map(|row| (row.scope.as_str(), row.name.as_str())).collect();
        assert_eq!(names, [("", "SHARED"), ("/a", "TOKEN")]);
        assert!(rows[1].created_at <= rows[1].updated_at && rows[1].key_id == keys.first_id());
    }

    async fn a_secret_that_is_forgotten_is_gone(world) {
        let (store, keys) = (&world.store, Keyring::generate().unwrap());
        store.secrets().put(&keys, "/a", "TOKEN", b"one").await.unwrap();
        assert!(!store.secrets().forget("/b", "TOKEN").await.unwrap());
        assert!(store.secrets().forget("/a", "TOKEN").await.unwrap());
        assert!(!store.secrets().forget("/a", "TOKEN").await.unwrap());
        assert!(store.secrets().get(&keys, "/a", "TOKEN").await.unwrap().is_none());
    }

    async fn rotation_puts_every_secret_under_the_new_key(world) {
        let (store, keys) = (&world.store, Keyring::generate().unwrap());
        for name in ["A", "B", "C"] {
            store.secrets().put(&keys, "/a", name, name.as_bytes()).await.unwrap();
        }
        let both = keys.with_new().unwrap();
        store.secrets().put(&both, "/a", "D", b"D").await.unwrap();
        assert_eq!(store.secrets().rewrap(&both).await.unwrap(), 3);
        assert_eq!(store.secrets().rewrap(&both).await.unwrap(), 0);
        let new = both.only_first();
        for name in ["A", "B", "C", "D"] {
            let text = store.secrets().get(&new, "/a", name).await.unwrap().unwrap();
            assert_eq!(text.as_slice(), name.as_bytes());
        }
        assert!(store.secrets().get(&keys, "/a", "A").await.is_err());
    }

    async fn a_secret_that_is_too_long_is_refused(world) {
        let keys = Keyring::generate().unwrap();
        let text = vec![b'x'; MAX_SECRET_BYTES + 1];
        let refused = world.store.secrets().put(&keys, "", "A", &text).await.err().unwrap();
        assert!(matches!(refused, SecretError::Limit(_)), "{refused}");
        world.store.secrets().put(&keys, "", "A", &text[1..]).await.unwrap();
    }
}
