//! Identity of this database. A bucket may be configured for another one as well: a fresh database
//! on a laptop, a copy that was restored to try it. Only the database that the bucket names may
//! collect there.

use plue_runtime::Ids;

use crate::{error::Error, handles::BlobFiles, op::Plain, sql::Statement};

impl BlobFiles<'_> {
    /// Whether content without a row is left over, and not another database's.
    pub(super) async fn may_sweep(self) -> Result<bool, Error> {
        let Ok(blob_store) = self.store.blob_store() else { return Ok(true) };
        if !blob_store.has_owner() {
            return Ok(true);
        }
        let id = self.identity().await?;
        blob_store.is_owned_by(&id).await.map_err(Error::BlobStore)
    }

    /// Name of this database, from the first time that it is asked.
    async fn identity(self) -> Result<String, Error> {
        if let Some(id) = self.known_identity().await? {
            return Ok(id);
        }
        // Of several that begin at once one is kept.
        let text = "INSERT INTO place (one, id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING";
        let args = vec![Ids::random().text().into()];
        self.store.write(Plain(vec![Statement::new(text, args)])).await?;
        let nameless = || Error::Corrupt("the database has no identity".to_owned());
        self.known_identity().await?.ok_or_else(nameless)
    }

    async fn known_identity(self) -> Result<Option<String>, Error> {
        let row = self.store.read_one(Statement::new("SELECT id FROM place", Vec::new())).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Makes a copy a database of its own, which owns no object of the one that it is a copy of.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget_place(self) -> Result<(), Error> {
        self.store.write(Plain(vec![Statement::new("DELETE FROM place", Vec::new())])).await
    }
}
