//! The files that a run begins with, as one archive.

use plue_plan::RunId;
use plue_wire::keep::BlobHash;

use crate::{error::Error, plain::Plain, sql::Statement, store::Store};

impl Store {
    /// Writes down which blob holds the files that a run begins with; what is written down already
    /// stays.
    ///
    /// # Errors
    /// [`Error`] of the database, also if there is no such run.
    pub async fn keep_run_workspace(&self, run: &RunId, blob: &BlobHash) -> Result<(), Error> {
        let text = "INSERT INTO run_workspace (run_id, blob) VALUES ($1, $2) \
                    ON CONFLICT (run_id) DO NOTHING";
        let args = vec![run.as_str().into(), blob.to_string().into()];
        self.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// The blob that holds the files that a run begins with, if they were kept.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn run_workspace(&self, run: &RunId) -> Result<Option<BlobHash>, Error> {
        let text = "SELECT blob FROM run_workspace WHERE run_id = $1";
        let row = self.read_one(Statement::new(text, vec![run.as_str().into()])).await?;
        row.map(|row| row.parse(0)).transpose()
    }
}
