//! The results of a delivery for each workflow, collected during dispatch and worded for people.
//!
//! Must not decide what runs.

use plue_plan::{Diagnostic, RunId, event::EventType};
use plue_registry::why_not;
use plue_store::{
    DeliveryState,
    delivery::{Dispatch, DispatchResult, Dispatches, Settlement},
};

use crate::error::Error;

/// Recorded workflows; the note gives the number of the others.
const MAX_DISPATCHES: usize = 200;
/// Characters of a recorded reason.
const MAX_REASON: usize = 600;
/// Workflows without a trigger that a note names.
const MAX_NAMED: usize = 10;

/// Results of a delivery so far.
#[derive(Debug, Default)]
pub(crate) struct DispatchLog(Dispatches);

/// A workflow of the repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkflowName<'a> {
    pub(crate) name: &'a str,
    pub(crate) file: &'a str,
}

// === impl DispatchLog ===

impl DispatchLog {
    /// Records a submitted run, with an optional remark for people.
    pub(crate) fn run(&mut self, workflow: WorkflowName<'_>, run: &RunId, remark: Option<&str>) {
        let reason = remark.map(str::to_owned);
        let run = Some(run.clone());
        self.push(workflow, Dispatch { run, ..dispatch(workflow, DispatchResult::Run, reason) });
    }

    /// Records the reason that no run was submitted.
    pub(crate) fn stopped(
        &mut self,
        workflow: WorkflowName<'_>,
        result: DispatchResult,
        reason: String,
    ) {
        self.push(workflow, dispatch(workflow, result, Some(reason)));
    }

    /// Records the problems of a workflow.
    pub(crate) fn invalid(&mut self, workflow: WorkflowName<'_>, problems: Vec<Diagnostic>) {
        self.stopped(workflow, DispatchResult::Invalid, Error::Invalid(problems).to_string());
    }

    /// Records that no trigger of the workflow is for events of this type.
    pub(crate) fn without_trigger(&mut self, workflow: &str) {
        self.0.without_trigger.push(workflow.to_owned());
    }

    fn push(&mut self, workflow: WorkflowName<'_>, mut made: Dispatch) {
        made.reason = made.reason.map(|reason| reason.chars().take(MAX_REASON).collect());
        // The base's plan replaces an earlier result of the same workflow.
        self.0.workflows.retain(|known| {
            (known.workflow.as_str(), known.file.as_str()) != (workflow.name, workflow.file)
        });
        self.0.workflows.push(made);
    }

    /// Whether no workflow has a result.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.workflows.is_empty() && self.0.without_trigger.is_empty()
    }

    /// The outcome of the delivery, with the results as its note.
    pub(crate) fn settlement(self, state: DeliveryState, event: EventType) -> Settlement {
        let (note, dispatches) = self.end(event);
        Settlement { dispatches: Some(dispatches), ..Settlement::new(state, note) }
    }

    /// The results as a note and as records; runs first.
    fn end(self, event: EventType) -> (String, Dispatches) {
        let mut dispatches = self.0;
        dispatches.workflows.sort_by_key(|one| one.result != DispatchResult::Run);
        let mut lines: Vec<String> = dispatches.workflows.iter().map(words).collect();
        lines.extend(untriggered(&dispatches.without_trigger, event));
        let beyond = dispatches.workflows.len().saturating_sub(MAX_DISPATCHES);
        if beyond > 0 {
            lines.insert(MAX_DISPATCHES, format!("{beyond} more workflows are not listed"));
        }
        dispatches.workflows.truncate(MAX_DISPATCHES);
        dispatches.without_trigger.truncate(MAX_DISPATCHES);
        (lines.join("\n"), dispatches)
    }
}

fn dispatch(
    workflow: WorkflowName<'_>,
    result: DispatchResult,
    reason: Option<String>,
) -> Dispatch {
    Dispatch {
        workflow: workflow.name.to_owned(),
        file: workflow.file.to_owned(),
        result,
        reason,
        run: None,
    }
}

fn words(made: &Dispatch) -> String {
    let reason = made.reason.as_deref().unwrap_or_default();
    let what = match (made.result, &made.run) {
        (DispatchResult::Run, Some(run)) if reason.is_empty() => format!("run {run}"),
        (DispatchResult::Run, Some(run)) => format!("run {run}, {reason}"),
        (DispatchResult::Held, _) => format!("held: {reason}"),
        (DispatchResult::Invalid, _) => format!("invalid: {reason}"),
        (DispatchResult::Paused, _) => reason.to_owned(),
        (result, _) => format!("{}, {reason}", result.as_str()),
    };
    format!("{} ({}): {what}", made.workflow, made.file)
}

/// One line for all workflows without a matching trigger type.
fn untriggered(names: &[String], event: EventType) -> Option<String> {
    let kind = why_not::words(event);
    let mut named = names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if let more @ 1.. = names.len().saturating_sub(MAX_NAMED) {
        named.push_str(&format!(" and {more} more"));
    }
    match names.len() {
        0 => None,
        1 => Some(format!("1 workflow without a {kind} trigger: {named}")),
        count => Some(format!("{count} workflows without a {kind} trigger: {named}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CI: WorkflowName<'_> = WorkflowName { name: "CI", file: ".plue.py" };

    #[test]
    fn runs_come_first_and_untriggered_share_a_line() {
        let mut log = DispatchLog::default();
        assert!(log.is_empty());
        log.without_trigger("Nightly");
        log.stopped(
            WorkflowName { name: "Docs", ..CI },
            DispatchResult::Skipped,
            "no file".to_owned(),
        );
        log.run(CI, &RunId::new("r1"), None);
        log.without_trigger("Weekly");
        let (note, dispatches) = log.end(EventType::Push);
        assert_eq!(
            note,
            "CI (.plue.py): run r1\nDocs (.plue.py): skipped, no file\n\
             2 workflows without a push trigger: Nightly, Weekly"
        );
        assert_eq!(dispatches.workflows[0].run, Some(RunId::new("r1")));
    }

    #[test]
    fn recorded_workflows_and_reasons_are_bounded() {
        let mut log = DispatchLog::default();
        let names: Vec<String> = (0..=MAX_DISPATCHES).map(|n| n.to_string()).collect();
        for name in &names {
            let workflow = WorkflowName { name, ..CI };
            log.stopped(workflow, DispatchResult::Skipped, "x".repeat(MAX_REASON + 1));
            log.without_trigger(name);
        }
        let (note, dispatches) = log.end(EventType::Push);
        assert_eq!(dispatches.workflows.len(), MAX_DISPATCHES);
        assert_eq!(dispatches.workflows[0].reason.as_ref().unwrap().len(), MAX_REASON);
        assert!(note.contains("\n1 more workflows are not listed\n"), "{note}");
        assert!(note.ends_with("8, 9 and 191 more"), "{note}");
    }
}
