//! Requests of other processes to the driver of a run: the row first, the action second, and the
//! row is deleted only when the action is in the journal.

use jiff::Timestamp;
use plue_plan::RunId;

use crate::{
    changes::Shards,
    deaths::SUSPECT_DEATHS,
    error::Error,
    handles::Cancels,
    op::Op,
    sql::{Statement, Tx},
};

/// Request to cancel a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    pub by: String,
    /// At once instead of TERM, grace, KILL.
    pub kill: bool,
}

enum Write {
    Ask(RunId, CancelRequest, Timestamp),
    Forget(RunId, CancelRequest),
}

impl Cancels<'_> {
    /// Asks for a run to stop. A second request can make the first one a kill, never milder.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn request(
        self,
        run: &RunId,
        request: CancelRequest,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.store.write(Write::Ask(run.clone(), request, at)).await
    }

    /// The open request for a run to stop.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn get(self, run: &RunId) -> Result<Option<CancelRequest>, Error> {
        let text = "SELECT requested_by, forced FROM cancel_request WHERE run_id = $1";
        let row = self.store.read_one(Statement::new(text, vec![run.as_str().into()])).await?;
        row.map(|row| Ok(CancelRequest { by: row.text(0)?, kill: row.count(1)? != 0 })).transpose()
    }

    /// Runs that have not ended and have an open cancel request, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn runs(self, limit: u32) -> Result<Vec<RunId>, Error> {
        let text = "SELECT r.id FROM cancel_request c JOIN run r ON r.id = c.run_id \
                    WHERE r.status IN ('queued', 'running', 'waiting') ORDER BY r.id LIMIT $1";
        let rows = self.store.read(Statement::new(text, vec![limit.into()])).await?;
        rows.iter().map(|row| Ok(RunId::new(row.text(0)?))).collect()
    }

    /// Takes a request off the list once the journal has it, unless it has become a kill since.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget(self, run: &RunId, answered: &CancelRequest) -> Result<(), Error> {
        self.store.write(Write::Forget(run.clone(), answered.clone())).await
    }
}

// === impl CancelRequest ===

impl CancelRequest {
    /// Takes it off the list. A kill that was asked for since is still to be answered.
    pub(crate) fn forget(&self, run: &RunId) -> Statement {
        let text = "DELETE FROM cancel_request WHERE run_id = $1 AND forced <= $2";
        Statement::new(text, vec![run.as_str().into(), u32::from(self.kill).into()])
    }
}

impl Op for Write {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        if let Self::Ask(run, ..) = self {
            // A run that is set aside is tried once more: to end.
            let text = "UPDATE run SET deaths = $2 WHERE id = $1 AND deaths > $2";
            tx.write(Statement::new(text, vec![run.as_str().into(), SUSPECT_DEATHS.into()]));
        }
        tx.write(match self {
            Self::Ask(run, request, at) => Statement::new(
                "INSERT INTO cancel_request (run_id, requested_by, forced, requested_at) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT (run_id) DO UPDATE SET \
                 forced = CASE WHEN excluded.forced > cancel_request.forced \
                 THEN excluded.forced ELSE cancel_request.forced END",
                vec![
                    run.as_str().into(),
                    request.by.as_str().into(),
                    u32::from(request.kill).into(),
                    (*at).into(),
                ],
            ),
            Self::Forget(run, answered) => answered.forget(run),
        });
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        match self {
            Self::Ask(run, ..) | Self::Forget(run, _) => Shards::of(run),
        }
    }
}
