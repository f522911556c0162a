//! Secrets, sealed at rest: the table, and what may be asked of it.
//!
//! A text is only ever in memory. Rows hold it sealed with a key of its own, which is wrapped with a
//! master key that is never in the database ([`Keyring`]). Must not log, print or put into an error
//! anything but names.

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::{
    changes::Shards,
    error::Error,
    handles::Secrets,
    op::Op,
    sql::{Arg, Row, Statement, Tx},
};

mod keyring;
mod masks;
mod seal;

pub use keyring::Keyring;
pub use masks::MAX_RUN_MASKS;

use seal::Sealed;

/// The scope of secrets that every repository may use.
pub const EVERYWHERE: &str = "";
/// Bytes of one secret.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;
/// Secrets of one scope.
pub const MAX_SECRETS: usize = 1_000;

/// Failure of storing or reading a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Not a master key.
    #[error("a master key is 64 hexadecimal digits; this one is not")]
    BadKey,
    /// It was sealed with a key that is not here.
    #[error("`{name}` is sealed with the key {key_id}, which is not here")]
    OtherKey {
        name: String,
        /// The key's id, which is no secret.
        key_id: String,
    },
    /// The row was changed, or belongs to another scope or name.
    #[error("`{name}` cannot be opened: its row is damaged")]
    Damaged { name: String },
    /// Too long, or too many.
    #[error("{0}")]
    Limit(String),
    /// The machine gives no random bytes.
    #[error("this machine gives no random bytes")]
    Random,
    #[error(transparent)]
    Store(#[from] Error),
}

/// Public fields of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// The repository; [`EVERYWHERE`]: all of them.
    pub scope: String,
    pub name: String,
    /// The master key that it depends on.
    pub key_id: String,
    /// Time of its first value.
    pub created_at: Timestamp,
    /// Time of its present value.
    pub updated_at: Timestamp,
}

struct Put {
    scope: String,
    name: String,
    sealed: Sealed,
    at: Timestamp,
}

struct Forget {
    scope: String,
    name: String,
}

/// One row under another master key.
struct Rewrap {
    scope: String,
    name: String,
    from: String,
    to: Sealed,
}

impl Secrets<'_> {
    /// Seals a text and stores it, over the one that was there.
    ///
    /// # Errors
    /// Too long or too many; [`SecretError`] of the machine or the database.
    pub async fn put(
        self,
        keys: &Keyring,
        scope: &str,
        name: &str,
        text: &[u8],
    ) -> Result<(), SecretError> {
        if text.len() > MAX_SECRET_BYTES {
            let message =
                format!("a secret has {} bytes; {MAX_SECRET_BYTES} are allowed", text.len());
            return Err(SecretError::Limit(message));
        }
        let known = self.list(Some(scope)).await?;
        if known.len() >= MAX_SECRETS && known.iter().all(|row| row.name != name) {
            return Err(SecretError::Limit(format!("there are {MAX_SECRETS} secrets already")));
        }
        let sealed = seal::seal(keys, scope, name, text)?;
        let (scope, name) = (scope.to_owned(), name.to_owned());
        Ok(self.store.write(Put { scope, name, sealed, at: self.store.clock().now() }).await?)
    }

    /// The text of a secret; `None`: there is none of this name in this scope.
    ///
    /// # Errors
    /// Its key is not here, its row is damaged; the database.
    pub async fn get(
        self,
        keys: &Keyring,
        scope: &str,
        name: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, SecretError> {
        let text = "SELECT key_id, wrapped, sealed FROM secret WHERE scope = $1 AND name = $2";
        let found =
            self.store.read_one(Statement::new(text, vec![scope.into(), name.into()])).await?;
        let Some(row) = found else { return Ok(None) };
        let sealed = Sealed { key_id: row.text(0)?, wrapped: row.bytes(1)?, body: row.bytes(2)? };
        seal::open(keys, scope, name, &sealed).map(Some)
    }

    /// Public fields of the secrets of one scope, or of all; by scope and name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, scope: Option<&str>) -> Result<Vec<SecretRow>, Error> {
        let (filter, args) = match scope {
            Some(scope) => (" WHERE scope = $1", vec![scope.into()]),
            None => ("", Vec::new()),
        };
        let text = format!(
            "SELECT scope, name, key_id, created_at, updated_at FROM secret{filter} \
             ORDER BY scope, name"
        );
        self.store.read(Statement::new(text, args)).await?.iter().map(SecretRow::of).collect()
    }

    /// Deletes a secret; returns whether there was one.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget(self, scope: &str, name: &str) -> Result<bool, Error> {
        self.store.write(Forget { scope: scope.to_owned(), name: name.to_owned() }).await
    }

    /// Puts every secret under the first key of the ring, and returns how many were under another.
    /// After an interruption, call it again: every secret is under one of the ring's keys.
    ///
    /// # Errors
    /// A secret whose key is not in the ring; the others before it are done.
    pub async fn rewrap(self, keys: &Keyring) -> Result<usize, SecretError> {
        let mut count = 0;
        for row in self.list(None).await? {
            if row.key_id == keys.first_id() {
                continue;
            }
            let text = "SELECT key_id, wrapped, sealed FROM secret WHERE scope = $1 AND name = $2";
            let args = vec![row.scope.as_str().into(), row.name.as_str().into()];
            let Some(found) = self.store.read_one(Statement::new(text, args)).await? else {
                continue;
            };
            let old =
                Sealed { key_id: found.text(0)?, wrapped: found.bytes(1)?, body: found.bytes(2)? };
            let to = seal::rewrap(keys, &row.scope, &row.name, &old)?;
            let from = old.key_id;
            self.store.write(Rewrap { scope: row.scope, name: row.name, from, to }).await?;
            count += 1;
        }
        self.rewrap_masks(keys).await?;
        Ok(count)
    }
}

// === impl SecretRow ===

impl SecretRow {
    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            scope: row.text(0)?,
            name: row.text(1)?,
            key_id: row.text(2)?,
            created_at: row.time(3)?,
            updated_at: row.time(4)?,
        })
    }
}

impl Op for Put {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.write(Statement::new(
            "INSERT INTO secret (scope, name, key_id, wrapped, sealed, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (scope, name) DO UPDATE SET \
             key_id = excluded.key_id, wrapped = excluded.wrapped, sealed = excluded.sealed, \
             updated_at = excluded.updated_at",
            vec![
                self.scope.as_str().into(),
                self.name.as_str().into(),
                self.sealed.key_id.as_str().into(),
                Arg::Bytes(self.sealed.wrapped.clone()),
                Arg::Bytes(self.sealed.body.clone()),
                self.at.into(),
            ],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Forget {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let args = || vec![Arg::from(self.scope.as_str()), self.name.as_str().into()];
        let text = "SELECT name FROM secret WHERE scope = $1 AND name = $2";
        let there = tx.fetch_optional(Statement::new(text, args())).await?.is_some();
        let text = "DELETE FROM secret WHERE scope = $1 AND name = $2";
        tx.write(Statement::new(text, args()));
        Ok(there)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Rewrap {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        // A secret that was set again in the meantime keeps its new row.
        tx.write(Statement::new(
            "UPDATE secret SET key_id = $3, wrapped = $4 \
             WHERE scope = $1 AND name = $2 AND key_id = $5 AND sealed = $6",
            vec![
                self.scope.as_str().into(),
                self.name.as_str().into(),
                self.to.key_id.as_str().into(),
                Arg::Bytes(self.to.wrapped.clone()),
                self.from.as_str().into(),
                Arg::Bytes(self.to.body.clone()),
            ],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}
