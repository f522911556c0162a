//! What came for a repository and what became of it, without the bodies.

use jiff::Timestamp;

use crate::{
    delivery::{DeliveryState, Dispatches},
    error::Error,
    sql::{Arg, Statement},
    store::Store,
};

/// A delivery without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySummary {
    /// As of [`crate::DeliveryRow`].
    pub forge: String,
    /// The sender's id of it.
    pub id: String,
    /// When it came.
    pub received_at: Timestamp,
    /// What became of it.
    pub state: DeliveryState,
    /// Why, or which runs it made: a line for each plan.
    pub note: Option<String>,
    /// How often work on it failed for a passing reason.
    pub tries: u32,
    /// While it waits after that: when it is tried again.
    pub next_at: Option<Timestamp>,
    /// What it did for each workflow; `None`: no workflow was looked at, or an older version settled it.
    pub dispatches: Option<Dispatches>,
}

impl Store {
    /// What came by a hook or was routed to it, the newest first, at most so many; only what is older than `before`, a
    /// time and an id, if that is said.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn deliveries(
        &self,
        hook: &str,
        before: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<DeliverySummary>, Error> {
        let mut args: Vec<Arg> = vec![hook.into(), limit.into()];
        let mut filter = "";
        if let Some((at, id)) = before {
            filter = "AND (received_at < $3 OR (received_at = $3 AND id < $4)) ";
            args.extend([at.into(), id.into()]);
        }
        let text = format!(
            "SELECT forge, id, received_at, state, note, tries, next_at, dispatch FROM delivery \
             WHERE (hook = $1 OR routed_to = $1) {filter}\
             ORDER BY received_at DESC, id DESC LIMIT $2"
        );
        let rows = self.read(Statement::new(text, args)).await?;
        rows.iter()
            .map(|row| {
                let state = row.parse(3)?;
                let waits = state == DeliveryState::New && row.int(6)? > 0;
                Ok(DeliverySummary {
                    forge: row.text(0)?,
                    id: row.text(1)?,
                    received_at: row.time(2)?,
                    state,
                    note: row.opt_text(4)?,
                    tries: u32::try_from(row.int(5)?).unwrap_or(u32::MAX),
                    next_at: if waits { Some(row.time(6)?) } else { None },
                    dispatches: row.opt_json(7)?,
                })
            })
            .collect()
    }
}
