//! What came for a repository and what became of it, without the bodies.

use jiff::Timestamp;

use crate::{
    delivery::DeliveryState,
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
}

impl Store {
    /// What came by a hook, the newest first, at most so many; only what is older than `before`, a
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
            "SELECT forge, id, received_at, state, note FROM delivery WHERE hook = $1 {filter}\
             ORDER BY received_at DESC, id DESC LIMIT $2"
        );
        let rows = self.read(Statement::new(text, args)).await?;
        rows.iter()
            .map(|row| {
                Ok(DeliverySummary {
                    forge: row.text(0)?,
                    id: row.text(1)?,
                    received_at: row.time(2)?,
                    state: row.parse(3)?,
                    note: row.opt_text(4)?,
                })
            })
            .collect()
    }
}
