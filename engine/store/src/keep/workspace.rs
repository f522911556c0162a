//! The files that a run begins with, as one archive, and the machine that has what became of them.

use plue_plan::RunId;
use plue_wire::outputs::BlobHash;

use crate::{
    changes::Shards,
    drive::Drive,
    error::Error,
    handles::RunFiles,
    op::{Op, Plain},
    sql::{Arg, Statement, Tx},
};

/// A row of `run_workspace`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunWorkspace {
    /// The files that the run began with, if they were kept.
    pub archive: Option<BlobHash>,
    /// The machine whose copy is the one that the run's steps work on.
    pub holder: String,
}

struct Hold {
    drive: Drive,
    holder: String,
}

impl RunFiles<'_> {
    /// Writes down which blob holds the files that a run begins with, and which machine has them; a
    /// machine that has gone on with the run meanwhile keeps it.
    ///
    /// # Errors
    /// [`Error`] of the database, also if there is no such run.
    pub async fn put(self, run: &RunId, holder: &str, archive: &BlobHash) -> Result<(), Error> {
        let text = "INSERT INTO run_workspace (run_id, blob, holder) VALUES ($1, $2, $3) \
                    ON CONFLICT (run_id) DO UPDATE SET blob = excluded.blob";
        let args = vec![run.as_str().into(), archive.to_string().into(), holder.into()];
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// Writes down that this machine has the files of a run from now on. `false`: another engine drives
    /// the run, and nothing was written.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_over(self, drive: &Drive, holder: &str) -> Result<bool, Error> {
        self.store.write(Hold { drive: drive.clone(), holder: holder.to_owned() }).await
    }

    /// Archive and holder of the files of a run; `None`: none is recorded.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn get(self, run: &RunId) -> Result<Option<RunWorkspace>, Error> {
        let text = "SELECT blob, holder FROM run_workspace WHERE run_id = $1";
        let row = self.store.read_one(Statement::new(text, vec![run.as_str().into()])).await?;
        row.map(|row| {
            let archive = row.opt_text(0)?.map(|text| text.parse().map_err(Error::Corrupt));
            Ok(RunWorkspace { archive: archive.transpose()?, holder: row.text(1)? })
        })
        .transpose()
    }
}

impl Op for Hold {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let Drive { run, engine, fence } = &self.drive;
        // Locked: no other engine takes the run between this and the end of the transaction.
        let lock = crate::fence::lock(tx.dialect());
        let right = "id = $1 AND driver = $2 AND drive_fence = $3";
        let args = vec![run.as_str().into(), engine.as_str().into(), Arg::count(*fence)];
        let held = Statement::new(format!("SELECT 1 FROM run WHERE {right}{lock}"), args.clone());
        if tx.fetch_optional(held).await?.is_none() {
            return Ok(false);
        }
        let text = format!(
            "INSERT INTO run_workspace (run_id, holder) SELECT id, $4 FROM run WHERE {right} \
             ON CONFLICT (run_id) DO UPDATE SET holder = excluded.holder"
        );
        let args = args.into_iter().chain([self.holder.as_str().into()]).collect();
        tx.write(Statement::new(text, args).expect(1));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}
