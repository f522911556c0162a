//! Deliveries with what they did for each workflow and how their runs fare now.

use plue_store::{DeliverySummary, Error, Store};

use crate::records::resources::DeliveryRecord;

/// The records of deliveries.
///
/// # Errors
/// [`Error`] of the database.
pub async fn records(
    store: &Store,
    rows: Vec<DeliverySummary>,
) -> Result<Vec<DeliveryRecord>, Error> {
    let dispatches = rows.iter().flat_map(|row| &row.dispatches);
    let started = dispatches.flat_map(|all| &all.workflows).filter_map(|one| one.run.clone());
    let runs: Vec<_> = started.collect();
    let statuses = store.runs().statuses(&runs).await?;
    Ok(rows.into_iter().map(|row| DeliveryRecord::of(row, &statuses)).collect())
}
