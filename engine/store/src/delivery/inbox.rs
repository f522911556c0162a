//! Deliveries for a repository and their outcomes, without the bodies.

use jiff::Timestamp;

use crate::{
    delivery::{DeliveryState, Dispatches},
    error::Error,
    handles::Deliveries,
    sql::{Arg, Statement},
};

/// A delivery without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySummary {
    /// As of [`crate::DeliveryRow`].
    pub forge: String,
    /// The sender's id of it.
    pub id: String,
    /// Time at which it was received.
    pub received_at: Timestamp,
    /// State of the work on it.
    pub state: DeliveryState,
    /// Reason, or the runs that it made: a line for each plan.
    pub note: Option<String>,
    /// Number of attempts that failed for a transient reason.
    pub tries: u32,
    /// Time of the next attempt, while it waits for one.
    pub next_at: Option<Timestamp>,
    /// Results by workflow; `None`: no workflow was considered, or an older version settled it.
    pub dispatches: Option<Dispatches>,
}

impl Deliveries<'_> {
    /// Deliveries that a hook received or that were routed to it, newest first, at most `limit`;
    /// with `before`, a time and an id, only older ones.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(
        self,
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
        let rows = self.store.read(Statement::new(text, args)).await?;
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
