//! The details of a step: its story from the journal, its part of the plan, and its files.

use jiff::{Timestamp, tz::TimeZone};
use plue_dashboard::run::{
    panel::{StepPanel, Try},
    steps::StepLine,
};
use plue_plan::StepId;
use plue_store::AttemptRow;
use serde_json::Value as Json;

use super::{Shown, timeline};
use crate::{
    explain::{self, Subject},
    problem::Problem,
    records::story::{Condition, Moment, Story},
    server::Api,
};

/// The panel of a step; none: the run has no such step.
pub(super) async fn load(
    api: &Api,
    subject: Subject<'_>,
    step: &str,
    lines: &[StepLine],
) -> Result<Option<StepPanel>, Problem> {
    let id = StepId::new(step);
    let Some(planned) = subject.plan.all_steps().find(|planned| planned.id == id) else {
        return Ok(None);
    };
    let Some(line) = lines.iter().find(|line| line.id == step) else { return Ok(None) };
    let record = explain::explained(api.store(), subject, Some(&id), &TimeZone::UTC).await?;
    let Some(story) = record.steps.into_iter().next() else { return Ok(None) };
    let attempts = api.store().attempts().list(&subject.row.id, Some(&id)).await?;
    let files = api.store().artifacts().list(&subject.row.id).await?;
    let run = &subject.row.id;
    let files = files.iter().filter(|file| file.step == id && file.expired_at.is_none());
    let files = files.map(|file| {
        let path: String = form_urlencoded::byte_serialize(file.path.as_bytes()).collect();
        let href = format!("/api/v1/runs/{run}/attempts/{}/artifact?path={path}", file.attempt);
        (file.path.clone(), file.bytes, href)
    });
    Ok(Some(StepPanel {
        line: line.clone(),
        files: files.collect(),
        tries: attempts.iter().map(tried).collect(),
        definition: serde_json::to_string_pretty(planned).unwrap_or_default(),
        ..panel(story)
    }))
}

fn panel(story: Story) -> StepPanel {
    let output = story.row.output;
    StepPanel {
        line: StepLine::default(),
        events: story.events.into_iter().map(event).collect(),
        needs: story
            .depends_on
            .into_iter()
            .map(|need| (need.step, Shown::of(&need.status), need.reason))
            .collect(),
        blocked_by: story.blocked_by.into_iter().map(|step| step.step).collect(),
        conditions: story.conditions.iter().map(condition).collect(),
        tries: Vec::new(),
        output: match &output {
            Json::Null => None,
            Json::String(text) if text.is_empty() => None,
            // Text of a command reads better as it is.
            Json::String(text) => Some(text.clone()),
            Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                serde_json::to_string_pretty(&output).ok()
            }
        },
        definition: String::new(),
        files: Vec::new(),
    }
}

fn event(moment: Moment) -> (Option<Timestamp>, String) {
    (moment.at.parse().ok(), moment.what)
}

fn condition(condition: &Condition) -> String {
    let Condition { visit, expression, value, error, reads } = condition;
    let result = match (value, error) {
        (Some(value), _) => format!("is {value}"),
        (None, Some(error)) => format!("cannot be evaluated: {error}"),
        (None, None) => "was not evaluated".to_owned(),
    };
    let visit = if *visit > 1 { format!(" in visit {visit}") } else { String::new() };
    let reads: Vec<String> =
        reads.iter().map(|read| format!("{} = {}", read.path, read.value)).collect();
    let reads = if reads.is_empty() { String::new() } else { format!(" ({})", reads.join(", ")) };
    format!("when `{expression}` {result}{visit}{reads}")
}

fn tried(row: &AttemptRow) -> Try {
    Try {
        attempt: row.claim.attempt.to_string(),
        number: (row.visit, row.number),
        state: timeline::state(row),
        outcome: row.outcome.as_ref().map(ToString::to_string),
        runner: row.runner.as_ref().map(ToString::to_string),
        times: (row.started_at, row.ended_at),
        log_bytes: row.log_bytes,
    }
}
