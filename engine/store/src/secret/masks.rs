//! The texts of secrets that a run was given, sealed, so that every engine that drives it later
//! masks them: a secret may be replaced or removed meanwhile, and an earlier step may have left the
//! old text in the workspace. They are deleted with their run.
//!
//! Must not be read for anything but masks.

use plue_plan::RunId;
use plue_wire::outputs::BlobHash;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Keyring, SecretError, seal, seal::Sealed};
use crate::{
    handles::Secrets,
    op::Plain,
    sql::{Arg, Row, Statement},
};

/// Texts of one run at most: what a runner masks.
pub const MAX_RUN_MASKS: usize = 4_096;
/// The name under which every text is sealed.
const NAME: &str = "MASK";

impl Secrets<'_> {
    /// The texts that a run was given.
    ///
    /// # Errors
    /// There are some and their key is not here; a row is damaged; the database.
    pub async fn run_masks(
        self,
        keys: Option<&Keyring>,
        run: &RunId,
    ) -> Result<Vec<Zeroizing<Vec<u8>>>, SecretError> {
        let rows = self.mask_rows(Some(run)).await?;
        let open = |row: &MaskRow| match keys {
            Some(keys) => seal::open(keys, &scope(&row.run), NAME, &row.sealed),
            None => Err(SecretError::OtherKey {
                name: format!("a secret of run {run}"),
                key_id: row.sealed.key_id.clone(),
            }),
        };
        rows.iter().map(open).collect()
    }

    /// Adds texts to those that a run was given.
    ///
    /// # Errors
    /// Too many; [`SecretError`] of the machine or the database, also if there is no such run.
    pub async fn add_run_masks(
        self,
        keys: &Keyring,
        run: &RunId,
        texts: &[Vec<u8>],
    ) -> Result<(), SecretError> {
        if texts.is_empty() {
            return Ok(());
        }
        if self.mask_rows(Some(run)).await?.len() + texts.len() > MAX_RUN_MASKS {
            let message = format!("the run was given more than {MAX_RUN_MASKS} secrets");
            return Err(SecretError::Limit(message));
        }
        let text = "INSERT INTO run_mask (run_id, id, key_id, wrapped, sealed) \
                    VALUES ($1, $2, $3, $4, $5)";
        let add = |one: &Vec<u8>| {
            let Sealed { key_id, wrapped, body } = seal::seal(keys, &scope(run), NAME, one)?;
            let id = id_of(&body);
            let (wrapped, body) = (Arg::Bytes(wrapped), Arg::Bytes(body));
            let args = vec![run.as_str().into(), id.into(), key_id.into(), wrapped, body];
            Ok(Statement::new(text, args))
        };
        let adds = texts.iter().map(add).collect::<Result<Vec<_>, SecretError>>()?;
        Ok(self.store.write(Plain(adds)).await?)
    }

    /// Puts every text under the first key of the ring.
    pub(super) async fn rewrap_masks(self, keys: &Keyring) -> Result<(), SecretError> {
        for row in self.mask_rows(None).await? {
            if row.sealed.key_id == keys.first_id() {
                continue;
            }
            let to = seal::rewrap(keys, &scope(&row.run), NAME, &row.sealed)?;
            let text = "UPDATE run_mask SET key_id = $3, wrapped = $4 \
                        WHERE run_id = $1 AND id = $2";
            let id = id_of(&to.body);
            let wrapped = Arg::Bytes(to.wrapped);
            let args = vec![row.run.as_str().into(), id.into(), to.key_id.into(), wrapped];
            self.store.write(Plain(vec![Statement::new(text, args)])).await?;
        }
        Ok(())
    }

    async fn mask_rows(self, run: Option<&RunId>) -> Result<Vec<MaskRow>, SecretError> {
        let mut text = "SELECT run_id, key_id, wrapped, sealed FROM run_mask".to_owned();
        let mut args = Vec::new();
        if let Some(run) = run {
            text.push_str(" WHERE run_id = $1");
            args.push(run.as_str().into());
        }
        let rows = self.store.read(Statement::new(text, args)).await?;
        Ok(rows.iter().map(MaskRow::of).collect::<Result<_, _>>()?)
    }
}

struct MaskRow {
    run: RunId,
    sealed: Sealed,
}

// === impl MaskRow ===

impl MaskRow {
    fn of(row: &Row) -> Result<Self, crate::Error> {
        let sealed = Sealed { key_id: row.text(1)?, wrapped: row.bytes(2)?, body: row.bytes(3)? };
        Ok(Self { run: RunId::new(row.text(0)?), sealed })
    }
}

/// The id of a row: the SHA-256 of the sealed text.
fn id_of(sealed: &[u8]) -> String {
    BlobHash(Sha256::digest(sealed).into()).to_string()
}

/// The scope under which the texts of a run are sealed. No repository's begins so.
fn scope(run: &RunId) -> String {
    format!("run {run}")
}
