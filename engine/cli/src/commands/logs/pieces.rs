//! Pieces of logs as the API gives them, and the attempts whose logs a command shows.

use plue_api::records::{AttemptRecord, PieceRecord, status::StatusRecord};
use plue_client::Client;

use super::writer::Whose;
use crate::{failure::Failure, output};

/// A visit and an attempt of a step; `None`: the last one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Choice {
    pub(crate) visit: Option<u32>,
    pub(crate) attempt: Option<u32>,
}

/// True if the step printed the piece.
pub(crate) fn is_output(piece: &PieceRecord) -> bool {
    matches!(piece.stream.as_str(), "stdout" | "stderr")
}

/// The bytes of a piece.
pub(crate) fn bytes(piece: &PieceRecord) -> Result<Vec<u8>, Failure> {
    match (&piece.text, &piece.hex) {
        (Some(text), _) => Ok(text.clone().into_bytes()),
        (None, Some(hex)) => hex::decode(hex).map_err(|error| Failure::infrastructure(&error)),
        (None, None) => Ok(Vec::new()),
    }
}

/// The attempt that a log belongs to.
pub(crate) fn whose(attempt: &AttemptRecord) -> Whose {
    Whose { step: attempt.step.clone(), visit: attempt.visit, number: attempt.number }
}

/// Checks that a run has a step, hooks included.
pub(crate) fn known_step(status: &StatusRecord, id: &str) -> Result<(), Failure> {
    let steps = status.steps.iter().map(|step| step.step.as_str());
    if steps.clone().any(|step| step == id) {
        return Ok(());
    }
    let near = plue_plan::validate::did_you_mean(id, steps.clone());
    let names: Vec<_> = steps.take(20).collect();
    Err(Failure::not_found(format!("run {} has no step `{id}`", status.run.id)).hint(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its steps are {}", names.join(", ")),
    }))
}

/// All attempts of a run, or the chosen one of a step.
pub(crate) async fn chosen(
    client: &Client,
    run: &str,
    step: Option<&str>,
    choice: Choice,
) -> Result<Vec<AttemptRecord>, Failure> {
    let mut all = client.runs().attempts(run).await?;
    let Some(step) = step else { return Ok(all) };
    all.retain(|attempt| attempt.step == step);
    if all.is_empty() {
        output::report(&format!("{step} has not run"));
        return Ok(all);
    }
    let visit = choice.visit.or_else(|| all.iter().map(|attempt| attempt.visit).max());
    all.retain(|attempt| Some(attempt.visit) == visit);
    let Some(last) = all.iter().map(|attempt| attempt.number).max() else {
        let visit = visit.unwrap_or_default();
        return Err(Failure::not_found(format!("{step} has no visit {visit}")));
    };
    let number = choice.attempt.unwrap_or(last);
    all.retain(|attempt| attempt.number == number);
    if all.is_empty() {
        return Err(Failure::not_found(format!("{step} has no attempt {number}"))
            .hint(format!("the last one is {last}")));
    }
    Ok(all)
}
