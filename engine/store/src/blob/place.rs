//! Which database this is. A bucket may be configured for another one as well: a fresh database on a
//! laptop, a copy that was restored to try it. Only the one that the bucket names may sweep there.

use plue_runtime::Ids;

use crate::{error::Error, handles::BlobFiles, op::Plain, sql::Statement};

impl BlobFiles<'_> {
    /// Whether what lies on the shelf and has no row here is left over, and not another database's.
    pub(super) async fn may_sweep(self) -> Result<bool, Error> {
        let Ok(blob_store) = self.store.blob_store() else { return Ok(true) };
        if !blob_store.has_owner() {
            return Ok(true);
        }
        let id = self.place().await?;
        blob_store.is_owned_by(&id).await.map_err(Error::BlobStore)
    }

    /// What this database is called, from the first time that it is asked.
    async fn place(self) -> Result<String, Error> {
        if let Some(id) = self.known_place().await? {
            return Ok(id);
        }
        // Of several that begin at once one is kept.
        let text = "INSERT INTO place (one, id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING";
        let args = vec![Ids::random().text().into()];
        self.store.write(Plain(vec![Statement::new(text, args)])).await?;
        let nameless = || Error::Corrupt("the database does not say which it is".to_owned());
        self.known_place().await?.ok_or_else(nameless)
    }

    async fn known_place(self) -> Result<Option<String>, Error> {
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
