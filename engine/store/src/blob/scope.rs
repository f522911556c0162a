//! Scopes that may name a blob. A runner gets only content that runs of its scope have sent or that
//! the engine gave to them; the hash alone grants no access.
//!
//! Must not decide the scope of a run: that is the pool's.

use plue_wire::outputs::BlobHash;

use super::BLOB_BATCH;
use crate::{
    error::Error,
    handles::BlobGrants,
    op::Plain,
    sql::{Arg, Statement, placeholders},
};

impl BlobGrants<'_> {
    /// Lets the runs of a scope name these blobs, as far as they are stored.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn add(self, scope: &str, blobs: &[BlobHash]) -> Result<(), Error> {
        for some in blobs.chunks(BLOB_BATCH) {
            let mut args = hashes(some);
            let list = placeholders(1, args.len());
            args.push(scope.into());
            let text = format!(
                "INSERT INTO blob_scope (hash, scope) SELECT hash, ${} FROM blob \
                 WHERE hash IN ({list}) ORDER BY hash ON CONFLICT (hash, scope) DO NOTHING",
                args.len()
            );
            self.store.write(Plain(vec![Statement::new(text, args)])).await?;
        }
        Ok(())
    }

    /// The blobs that a run of the scope must send before it may name them, whether or not runs of other
    /// scopes have sent them. The rest count as used now.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn missing(self, scope: &str, blobs: &[BlobHash]) -> Result<Vec<BlobHash>, Error> {
        let (mut missing, mut granted) = (Vec::new(), Vec::new());
        for some in blobs.chunks(BLOB_BATCH) {
            let mut args = hashes(some);
            let list = placeholders(1, args.len());
            args.push(scope.into());
            let text = format!(
                "SELECT hash FROM blob_scope WHERE hash IN ({list}) AND scope = ${}",
                args.len()
            );
            let rows = self.store.read(Statement::new(text, args)).await?;
            let names = rows.iter().map(|row| row.parse(0));
            let named = names.collect::<Result<std::collections::HashSet<BlobHash>, Error>>()?;
            let (mine, others): (Vec<_>, Vec<_>) =
                some.iter().copied().partition(|blob| named.contains(blob));
            granted.extend(mine);
            missing.extend(others);
        }
        missing.extend(self.store.blobs().missing(&granted).await?);
        Ok(missing)
    }
}

fn hashes(blobs: &[BlobHash]) -> Vec<Arg> {
    blobs.iter().map(|blob| blob.to_string().into()).collect()
}
