//! The stored content of a commit's report: its plans, the dispatch outcome of each, and the change of each
//! against the base.

use jiff::Timestamp;
use plue_api::records::report::ReportPull;
use plue_forge::{feedback::PlanChange, git::CommitId};
use plue_plan::{
    Diagnostic, Event, Plan, RunId,
    capability::{Capability, capabilities_added},
    diff::diff,
};
use plue_store::{RepoRow, ReportKey, Store};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The content of a report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct ReportContent {
    /// Whether the event is about a pull request. Contexts differ, since one commit may have both kinds.
    pub(crate) is_pull_request: bool,
    /// The plans, in the order of their files.
    pub(crate) plans: Vec<ReportEntry>,
    /// Remarks for reviewers, under the plans.
    pub(crate) notices: Vec<String>,
    /// The pull request of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pull: Option<ReportPull>,
}

/// A plan, or an invalid workflow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReportEntry {
    pub(crate) file: String,
    pub(crate) name: String,
    #[serde(rename = "fate")]
    pub(crate) outcome: DispatchOutcome,
    pub(crate) change: PlanChange,
}

/// The outcome of a plan at dispatch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DispatchOutcome {
    /// A run was submitted.
    Run(RunId),
    /// No trigger fired; the reason.
    Skipped(String),
    /// The plan awaits the approval of a maintainer; the reason.
    #[serde(rename = "held")]
    AwaitingApproval(String),
    /// The workflow file or its checkout is invalid.
    Invalid(Vec<Diagnostic>),
}

// === impl ReportContent ===

impl ReportContent {
    /// Adds a plan, and a remark if the change gains capabilities.
    pub(crate) fn add(&mut self, entry: ReportEntry, reaches: &[Capability]) {
        if !reaches.is_empty() {
            let list: Vec<String> = reaches.iter().map(ToString::to_string).collect();
            let list = list.join(", ");
            self.notices.push(format!("{} would newly reach: {list}", entry.name));
        }
        self.plans.push(entry);
    }
}

/// The change of a plan and the capabilities that it gains. `before`: `None` without a comparison,
/// `Some(None)` for a new plan.
pub(crate) fn change(before: Option<Option<&Plan>>, now: &Plan) -> (PlanChange, Vec<Capability>) {
    let Some(before) = before else { return (PlanChange::Unchanged, Vec::new()) };
    let Some(before) = before else {
        let nothing = Plan::new(now.name.clone(), Vec::new());
        return (PlanChange::New, capabilities_added(&nothing, now));
    };
    let diff = diff(before, now);
    let change = if diff.is_empty() { PlanChange::Unchanged } else { PlanChange::Changed(diff) };
    (change, capabilities_added(before, now))
}

/// The entry of a removed plan.
pub(crate) fn removed(file: &str, name: &str) -> ReportEntry {
    ReportEntry {
        file: file.to_owned(),
        name: name.to_owned(),
        outcome: DispatchOutcome::Skipped("the change removes it".to_owned()),
        change: PlanChange::Removed,
    }
}

/// Stores the content of a commit's report, unless its repository has no forge reporter.
///
/// # Errors
/// The database.
pub(crate) async fn put_report(
    store: &Store,
    (repo, commit): (&RepoRow, &CommitId),
    event: &Event,
    content: &ReportContent,
    now: Timestamp,
) -> Result<(), Error> {
    if content.plans.is_empty() || store.reports().forge_reporter(&repo.name).await?.is_none() {
        return Ok(());
    }
    let key = ReportKey {
        repo: repo.name.clone(),
        sha: commit.to_string(),
        pull_request: event.pull_request.as_ref().map_or(0, |pr| pr.number),
    };
    let content = serde_json::to_value(content).unwrap_or_default();
    Ok(store.reports().put(&key, &content, now).await?)
}

#[cfg(test)]
mod tests {
    use plue_api::records::report::ReportRecord;
    use plue_plan::{Action, Step, action::Bash};
    use serde_json::json;

    use super::*;

    fn plan(secrets: &[&str]) -> Plan {
        let bash = Bash { run: "true".to_owned(), shell: "bash".to_owned() };
        let mut step = Step::new("a", Action::Bash(bash));
        step.options.secrets = secrets.iter().map(|&name| name.to_owned()).collect();
        Plan::new("CI", vec![step])
    }

    fn pull_event() -> Event {
        let pull = json!({
            "number": 7, "title": "Faster", "fork": true,
            "base": {"ref": "main", "sha": "b0"},
            "head": {"ref": "quick", "sha": "c0", "repository": "eve/app"},
        });
        let event = json!({"type": "pull_request", "actor": "eve", "pull_request": pull});
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn gained_capabilities_are_noticed() {
        let (before, now) = (plan(&[]), plan(&["DEPLOY"]));
        let (change, reaches) = change(Some(Some(&before)), &now);
        assert!(matches!(change, PlanChange::Changed(_)));
        let mut content = ReportContent::default();
        let outcome = DispatchOutcome::AwaitingApproval("it is from a fork".to_owned());
        let entry = ReportEntry { file: "a".to_owned(), name: "CI".to_owned(), outcome, change };
        content.add(entry, &reaches);
        assert_eq!(content.notices, ["CI would newly reach: secret DEPLOY"]);
    }

    #[test]
    fn uncompared_plans_are_unchanged() {
        assert_eq!(change(None, &plan(&["X"])), (PlanChange::Unchanged, Vec::new()));
        assert_eq!(change(Some(None), &plan(&[])).0, PlanChange::New);
        assert_eq!(change(Some(Some(&plan(&[]))), &plan(&[])).0, PlanChange::Unchanged);
    }

    #[test]
    fn content_round_trips() {
        let now = plan(&["X"]);
        let (change, _) = change(Some(Some(&plan(&[]))), &now);
        let outcome = DispatchOutcome::Run(RunId::new("r1"));
        let entry = ReportEntry { file: "f".to_owned(), name: "CI".to_owned(), outcome, change };
        let content =
            ReportContent { is_pull_request: true, plans: vec![entry], ..ReportContent::default() };
        let text = serde_json::to_string(&content).unwrap();
        assert_eq!(serde_json::from_str::<ReportContent>(&text).unwrap(), content);
    }

    #[test]
    fn reports_are_read_by_pull_pages() {
        let (changed, reaches) = change(Some(Some(&plan(&[]))), &plan(&["X"]));
        let entry = |outcome, change: &PlanChange| ReportEntry {
            file: "f".to_owned(),
            name: "CI".to_owned(),
            outcome,
            change: change.clone(),
        };
        let mut content = ReportContent { is_pull_request: true, ..ReportContent::default() };
        content.add(entry(DispatchOutcome::Run(RunId::new("r1")), &changed), &reaches);
        content.add(entry(DispatchOutcome::Skipped("s".to_owned()), &PlanChange::New), &[]);
        content.add(entry(DispatchOutcome::AwaitingApproval("h".to_owned()), &changed), &[]);
        content.add(entry(DispatchOutcome::Invalid(Vec::new()), &PlanChange::Unchanged), &[]);
        content.plans.push(removed("f", "Old"));
        content.pull = ReportPull::of(&pull_event(), None);
        let json = serde_json::to_value(&content).unwrap();
        let read: ReportRecord = serde_json::from_value(json.clone()).unwrap();
        let back = serde_json::to_value(&read).unwrap();
        assert_eq!((&back["plans"], &back["notices"]), (&json["plans"], &json["notices"]));
        assert_eq!(read.plans.len(), 5);
        let pull = read.pull.unwrap();
        assert_eq!((pull.title.as_str(), pull.head.as_str()), ("Faster", "eve/app:quick"));
    }
}
