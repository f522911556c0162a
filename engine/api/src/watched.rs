//! Health of a watched repository and its webhook, for the repository list: at the forge a hook
//! whose deliveries are all ignored looks green.

use plue_store::{DeliveryState, DeliverySummary, Error, RepoRow, Store};

use crate::records::resources::RepoRecord;

/// Characters of a note that a list shows.
const MAX_NOTE: usize = 300;

/// The record of a repository with what came of its newest delivery.
///
/// # Errors
/// [`Error`] of the database.
pub async fn repo_record(store: &Store, row: &RepoRow) -> Result<RepoRecord, Error> {
    let mut record = RepoRecord::of(row);
    let newest = store.deliveries().list(&row.hook, None, 1).await?;
    record.last_delivery = newest.first().map(words);
    if let Some(known) = store.repos().identity(&row.name).await? {
        record.problem = known.other_id.map(|other| {
            let name = &row.name;
            format!(
                "another repository (id {other}) came as {name}, which is known as {}; if it is the \
                 right one: plue repo confirm {name} {other}",
                known.forge_id
            )
        });
        record.forge_id = Some(known.forge_id);
    }
    if record.problem.is_none() {
        record.problem = newest.first().and_then(problem);
    }
    Ok(record)
}

fn words(delivery: &DeliverySummary) -> String {
    let state = delivery.state.as_str();
    match (delivery.state, &delivery.note) {
        (DeliveryState::Ignored | DeliveryState::Failed, Some(note)) => {
            let note: String = note.chars().take(MAX_NOTE).collect();
            format!("{state}: {}", note.replace('\n', "; "))
        }
        (_, _) => state.to_owned(),
    }
}

/// A delivery that the forge takes for delivered, and that plue could not use for a reason with a code.
fn problem(delivery: &DeliverySummary) -> Option<String> {
    let has_code = delivery.note.as_ref().is_some_and(|note| note.contains("[PLUE-"));
    let is_lost = match delivery.state {
        DeliveryState::Failed => true,
        DeliveryState::Ignored => has_code,
        DeliveryState::New | DeliveryState::Done => false,
    };
    is_lost.then(|| format!("the newest delivery was {}", words(delivery)))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn delivery(state: DeliveryState, note: &str) -> DeliverySummary {
        DeliverySummary {
            forge: "gitea".to_owned(),
            id: "d".to_owned(),
            received_at: Timestamp::UNIX_EPOCH,
            state,
            note: Some(note.to_owned()),
            tries: 0,
            next_at: None,
            dispatches: None,
        }
    }

    #[test]
    fn deliveries_that_could_not_be_used_are_problems() {
        let code = "the body is no JSON object [PLUE-F0005]";
        let found = problem(&delivery(DeliveryState::Ignored, code)).unwrap();
        assert_eq!(found, format!("the newest delivery was ignored: {code}"));
        assert_eq!(problem(&delivery(DeliveryState::Ignored, "a ping: the hook works")), None);
        assert_eq!(problem(&delivery(DeliveryState::Done, "run 1")), None);
        assert!(problem(&delivery(DeliveryState::Failed, "git")).is_some());
    }
}
